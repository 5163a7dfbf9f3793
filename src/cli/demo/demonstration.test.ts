// The whole demonstration in virtual time: what was sent is done at the end, and everybody was told.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../../test/support/white-box-broker.ts'
import type { Bus } from '../../client/bus.ts'
import { ProcessClock } from '../../testing/process-clock.ts'
import { SimRandom } from '../../testing/sim-random.ts'
import { Demonstration, lookEveryMs } from './demonstration.ts'
import { type DemoState, type Followed, lengthOf, type Sample } from './state.ts'
import { summarize } from './summary.ts'

interface Scene {
  readonly test: WhiteBoxBroker
  readonly bus: Bus
  readonly demonstration: Demonstration
}

async function scene(durationMs: number, test?: WhiteBoxBroker): Promise<Scene> {
  const broker = test ?? (await createWhiteBoxBroker())
  const bus = await broker.connect()
  const platform = { clock: new ProcessClock(broker.clock), random: new SimRandom(1) }
  const demonstration = await broker.run(Demonstration.open(platform, bus, 'memory:', durationMs))
  return { test: broker, bus, demonstration }
}

/** Plays it to its end, or for so long; what there was to see, look by look. */
async function play({ test, demonstration }: Scene, untilMs = Number.POSITIVE_INFINITY): Promise<DemoState[]> {
  const states: DemoState[] = []
  demonstration.start()
  while (!demonstration.isOver && (states.at(-1)?.elapsedMs ?? 0) < untilMs) {
    await test.advance(lookEveryMs)
    states.push(await test.run(demonstration.look()))
  }
  demonstration.stop()
  return states
}

let played: Promise<DemoState[]> | null = null

/** One of ten seconds from begin to end, played once for all who look at it. */
function whole(): Promise<DemoState[]> {
  played ??= scene(10_000).then((one) => play(one))
  return played
}

describe('Demonstration', () => {
  it('shows a line that grows and goes away, and ends when all that was sent is done', async () => {
    const states = await whole()
    const last = states.at(-1) as DemoState
    const { queue, callbacks, events, calls } = last
    expect(queue.sent).toBeGreaterThan(500)
    expect(queue.deadLettered).toBeGreaterThan(0)
    expect(queue.retried).toBeGreaterThan(queue.deadLettered * 2)
    expect(queue.processed + queue.deadLettered).toBe(queue.sent)
    expect(callbacks).toMatchObject({ processed: queue.processed, deadLettered: queue.deadLettered })
    expect(events.emitted).toBe(queue.sent)
    expect(events.listeners.map(({ heard }) => heard)).toEqual([queue.processed, queue.sent])
    expect(calls.answered).toBeGreaterThan(10)
    const longest = Math.max(...last.history.map(lengthOf))
    expect(longest).toBeGreaterThan(50)
    expect(lengthOf(last.history.at(-1)!)).toBe(0)
    expect(last.elapsedMs).toBeLessThan(12_000)
  })

  it("keeps to Little's law", async () => {
    const states = await whole()
    const { numbers } = summarize(states.at(-1) as DemoState)
    expect(numbers.lengthCounted / numbers.lengthByLittle).toBeGreaterThan(0.95)
    expect(numbers.lengthCounted / numbers.lengthByLittle).toBeLessThan(1.05)
  })

  it('has rates of the last second', async () => {
    const { history } = (await whole()).at(-1) as DemoState
    const at = (ms: number): Sample => history.find(({ atMs }) => atMs >= ms) as Sample
    expect(at(2_000).sendRate).toBeCloseTo(40, -1)
    expect(at(4_500).sendRate).toBeCloseTo(150, -1)
    expect(at(4_500).processingRate).toBeGreaterThan(80)
    expect(at(4_900).waitMs).toBeGreaterThan(300)
    expect(at(2_000).waitMs).toBeLessThan(50)
  })

  it('follows messages to their ends, good ones and dead letters', async () => {
    const states = await whole()
    const ends = new Map<string, Followed>()
    for (const { callbacks } of states) {
      if (callbacks.followed?.end != null) ends.set(callbacks.followed.name, callbacks.followed)
    }
    const all = [...ends.values()]
    expect(all.some(({ end }) => end?.isGood === true)).toBe(true)
    expect(all.some(({ end }) => end?.isGood === false)).toBe(true)
    for (const { storedMs, deliveredMs, endedMs } of all) {
      expect(storedMs).not.toBeNull()
      expect(deliveredMs).toBeLessThanOrEqual(endedMs ?? 0)
    }
  })

  it('does first what was left in the queue, and counts it apart', async () => {
    const first = await scene(10_000)
    await play(first, 4_500)
    const left = lengthOf((await first.test.run(first.demonstration.look())).history.at(-1)!)
    await first.test.run(first.bus.close())
    const second = await scene(3_000, first.test)
    const last = (await play(second)).at(-1) as DemoState
    expect(left).toBeGreaterThan(20)
    expect(last.queue.found).toBeGreaterThan(20)
    expect(last.queue.processed + last.queue.deadLettered).toBe(last.queue.sent + last.queue.found)
    expect(last.callbacks.processed + last.callbacks.deadLettered).toBe(last.queue.sent)
  })
})
