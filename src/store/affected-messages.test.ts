// A folder that is refused names the messages in the damaged place.
import { describe, expect, test } from 'vitest'
import { SimFolder } from '../testing/sim-folder.ts'

const late = { checkpointMs: 1e9, checkpointBytes: 1e9 } as const
const file = '/data/log/0000000001.log'

/** Two queues and a frame of six messages, and another frame behind it. */
async function killedFolder(): Promise<SimFolder> {
  const world = new SimFolder()
  const run = await world.open('/data', late)
  await run.declare('work', 'other')
  for (let number = 1; number <= 6; number++) run.post(number % 2 === 0 ? 'other' : 'work', `body ${number}`)
  await run.settle()
  await run.publish('work', 'after')
  world.kill()
  return world
}

async function refusal(world: SimFolder): Promise<string> {
  const error: Error = await world.open('/data', late).then(
    () => new Error('it opened'),
    (reason: unknown) => reason as Error,
  )
  expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT' })
  return error.message
}

describe('a folder that is refused', () => {
  test('names the one message whose record is damaged, with its queue', async () => {
    const world = await killedFolder()
    world.disk.flipBit(file, world.disk.contents(file).indexOf('body 4'), 2)
    expect(await refusal(world)).toMatch(/0000000001\.log is damaged at byte \d+: .* \(message 2 of queue 'other'\)\./)
  })

  test('names several, and says how many more there are', async () => {
    const world = await killedFolder()
    const content = world.disk.contents(file)
    for (let number = 1; number <= 6; number++) world.disk.flipBit(file, content.indexOf(`body ${number}`), 2)
    const names = [1, 1, 2, 2].map(
      (sequence, at) => `message ${sequence} of queue '${at % 2 === 0 ? 'work' : 'other'}'`,
    )
    expect(await refusal(world)).toContain(`(${names.join(', ')} and 2 more)`)
  })

  test('names no message if the header of a frame is damaged, whose records are all right', async () => {
    const world = await killedFolder()
    world.disk.flipBit(file, world.disk.contents(file).indexOf('LVF1') + 4, 2)
    expect(await refusal(world)).toMatch(/at byte 1024: no valid frame header is there\. Confirmed/)
  })
})
