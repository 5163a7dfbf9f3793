// Somebody sets the wall clock by a day, forward or back: what is stored stays, what does not expire does not expire, and
// everything that takes its time takes the same time as before.
import { describe, expect, test } from 'vitest'
import { consume, declareQueue } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

const dayMs = 86_400_000
const jumps = [
  ['forward', dayMs],
  ['back', -dayMs],
] as const

describe.each(jumps)('when the wall clock jumps a day %s', (_name, byMs) => {
  test('no message without an expiry is lost, in this life or the next, and what comes later is stored as well', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    await run.publish('q', 'one', 'two')
    world.clock.jumpRealtime(byMs)
    await run.publish('q', 'three')
    await run.settle(120_000)
    expect(run.confirmed).toEqual(['one', 'two', 'three'])
    world.kill()
    world.clock.jumpRealtime(-2 * byMs)
    const again = await world.open()
    await again.publish('q', 'four')
    expect(await again.take('q')).toEqual(['one', 'two', 'three', 'four'])
  })

  test('acknowledgements and checkpoints are written after the time they take, not a day later', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    await run.publish('q', 'one', 'two')
    world.clock.jumpRealtime(byMs)
    await run.take('q')
    await run.settle(200)
    await run.settle(1_000)
    expect(world.files().some((name) => name.startsWith('ckpt/'))).toBe(true)
    world.kill()
    expect(await (await world.open()).take('q')).toEqual([])
  })
})

describe('a message that expires in an hour', () => {
  const hourMs = 3_600_000

  async function waiting(): Promise<{ world: SimFolder; ready: () => Promise<number> }> {
    const world = new SimFolder()
    const run = await world.open()
    run.channel.give(declareQueue('q', { durable: true, arguments: { 'x-message-ttl': hourMs } }))
    await run.settle()
    await run.publish('q', 'one')
    const ready = async (): Promise<number> => {
      const id = run.channel.give({ type: 'leveret.queues' })
      await run.settle(0)
      const reply = run.channel.replies.get(id)
      return reply?.type === 'leveret.queues-ok' ? (reply.queues.find(({ name }) => name === 'q')?.ready ?? -1) : -1
    }
    return { world, ready }
  }

  test('is gone within half a minute after the clock has passed its time', async () => {
    const { world, ready } = await waiting()
    world.clock.jumpRealtime(dayMs)
    await world.clock.advance(30_000)
    expect(await ready()).toBe(0)
  })

  test('is not gone too early when the clock was set back, and goes when its time is shown', async () => {
    const { world, ready } = await waiting()
    world.clock.jumpRealtime(-dayMs)
    await world.clock.advance(2 * hourMs)
    expect(await ready()).toBe(1)
    world.clock.jumpRealtime(dayMs)
    await world.clock.advance(30_000)
    expect(await ready()).toBe(0)
  })
})

test('a consumer gets what is published after the clock was set back, at once', async () => {
  const world = new SimFolder()
  const run = await world.open()
  await run.declare('q')
  run.channel.give(consume('q', { noAck: true }))
  await run.settle()
  world.clock.jumpRealtime(-dayMs)
  run.post('q', 'one')
  await run.settle(20)
  expect(run.channel.takeBodies()).toEqual(['one'])
})
