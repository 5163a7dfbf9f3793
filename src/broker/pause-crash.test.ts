// Queues that are paused, on a disk that is killed and loses its power: what was answered holds, and nothing is lost.
import { expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { consume, declareQueue } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const seeds = Number(process.env['LEVERET_PAUSE_SEEDS'] ?? '20')

/** What a queue may be: paused or not; both as long as a change is not answered. */
interface Known {
  may: Set<boolean>
  asked: number
  wanted: boolean
}

async function play(seed: number): Promise<string[]> {
  const prng = new Prng(seed)
  const folder = new SimFolder(seed)
  const violations: string[] = []
  const queues = new Map<string, Known>()
  let run: SimFolderRun = await folder.open()

  function look(): void {
    for (const known of queues.values()) if (run.channel.replies.has(known.asked)) known.may = new Set([known.wanted])
  }

  async function check(): Promise<void> {
    const id = run.channel.give({ type: 'leveret.queues' })
    await run.settle(100)
    const reply = run.channel.replies.get(id)
    for (const { name, paused } of reply?.type === 'leveret.queues-ok' ? reply.queues : []) {
      const known = queues.get(name)
      if (known === undefined) continue
      if (!known.may.has(paused)) violations.push(`${name} is ${paused ? '' : 'not '}paused`)
      known.may = new Set([paused])
      known.asked = 0
    }
  }

  for (let step = 0; step < 30; step++) {
    const name = `q${prng.below(3)}`
    const known = queues.get(name)
    const kind = prng.below(10)
    if (known === undefined || kind === 0) {
      if (known !== undefined) run.channel.give({ type: 'queue.delete', queue: name, ifUnused: false, ifEmpty: false })
      run.channel.give(declareQueue(name, { durable: true }))
      await run.settle(1_000)
      queues.set(name, { may: new Set([false]), asked: 0, wanted: false })
    } else if (kind < 5) {
      const wanted = prng.chance(0.5)
      // The answer to an earlier change may come with this one: it is not looked for any more.
      known.may.add(wanted)
      known.asked = run.channel.give({ type: 'leveret.pause', queue: name, paused: wanted })
      known.wanted = wanted
    } else if (kind < 8) await run.settle(prng.below(prng.chance(0.3) ? 1_000 : 30))
    else {
      look()
      if (prng.chance(0.3)) {
        await run.close()
        for (const one of queues.values()) if (one.asked > 0) one.may = new Set([one.wanted])
      } else folder.kill(prng.chance(0.5))
      run = await folder.open()
      await check()
    }
  }
  return violations
}

test(`in ${seeds} histories a queue is as the last answer says, whatever ends`, async () => {
  for (let seed = 1; seed <= seeds; seed++) expect(await play(seed), `seed ${seed}`).toEqual([])
}, 60_000)

test('a queue that was paused takes messages after a crash, hands out none, and all when it goes on', async () => {
  const folder = new SimFolder()
  let run = await folder.open()
  await run.declare('q')
  run.channel.give({ type: 'leveret.pause', queue: 'q', paused: true })
  await run.publish('q', '1', '2')
  folder.kill(true)
  run = await folder.open()
  run.channel.give(consume('q'))
  await run.publish('q', '3')
  // A checkpoint has it, too.
  await run.settle(2_000)
  expect(run.channel.takeBodies()).toEqual([])
  await run.close()
  run = await folder.open()
  run.channel.give(consume('q'))
  await run.settle()
  expect(run.channel.takeBodies()).toEqual([])
  run.channel.give({ type: 'leveret.pause', queue: 'q', paused: false })
  await run.settle()
  expect(run.channel.takeBodies()).toEqual(['1', '2', '3'])
})
