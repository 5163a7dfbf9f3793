// What the broker tells of a consumer's work is held against a consumer that does it, and notes when.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Entry } from '../store/entry.ts'
import { ConsumerMeter } from './consumer-meter.ts'
import { type MeteredQueue, MeteredQueues, QueueMeter } from './queue-meter.ts'

/** Each delivery is in the place of its tag. */
const tags = { tagAt: (slot: number): number => slot }

/** A queue of which nothing is ready but what is asked for, and its clock. */
class Scene {
  readonly clock = { monotonicMs: 0 }
  readonly metered = new MeteredQueues()
  readonly meter: QueueMeter = new QueueMeter(this.clock, this.metered)
  readonly queue: MeteredQueue
  private sequence = 0

  constructor() {
    const consumers = { count: 1, isSingle: false }
    const counters = { redelivered: 0 }
    this.queue = { readyCount: 0, lengthMax: 5, isKeyed: false, counters, consumers, oldestReady: () => 0 }
  }

  /** One comes and is handed out in the same turn. */
  hand(consumer: ConsumerMeter, tag: number): void {
    const entry = new Entry(null, ++this.sequence, false, 1)
    entry.deliveryCount = 1
    this.meter.touch()
    this.meter.see(this.sequence + 1, 1)
    consumer.handed(tag, entry)
    this.meter.turnEnded(0)
  }

  flow(): NonNullable<ReturnType<QueueMeter['describe']>> {
    const flow = this.meter.describe(this.queue, this.clock.monotonicMs)
    if (flow === null) throw new Error('something has come')
    return flow
  }
}

describe('what is known of the work of a consumer', () => {
  it('is that of one that works on so many at once, in the order in which it got them', () => {
    const step = fc.oneof(
      fc.record({ does: fc.constant('hand' as const), value: fc.nat(3) }),
      fc.record({ does: fc.constant('wait' as const), value: fc.nat(50) }),
      fc.record({ does: fc.constant('settle' as const), value: fc.nat(10) }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 100 }), (concurrency, steps) => {
        const scene = new Scene()
        const { clock } = scene
        const consumer = new ConsumerMeter(scene.meter, concurrency)
        scene.hand(consumer, 1)
        const line: { tag: number; cameMs: number }[] = []
        const work: { tag: number; beganMs: number }[] = [{ tag: 1, beganMs: 0 }]
        let [tag, settledMs, waited, worked, workingArea, waitingArea] = [1, -1, 0, 0, 0, 0]
        const begin = (): void => {
          while (work.length < concurrency && line.length > 0) {
            const next = line.shift() as { tag: number; cameMs: number }
            work.push({ tag: next.tag, beganMs: clock.monotonicMs })
            waited += clock.monotonicMs - next.cameMs
          }
        }
        for (const { does, value } of steps) {
          if (does === 'wait') {
            workingArea += work.length * value
            waitingArea += line.length * value
            clock.monotonicMs += value
          } else if (does === 'hand') {
            scene.hand(consumer, ++tag)
            line.push({ tag, cameMs: clock.monotonicMs })
            begin()
          } else if (work.length > 0 && clock.monotonicMs !== settledMs) {
            settledMs = clock.monotonicMs
            const [done] = work.splice(value % work.length, 1) as [{ tag: number; beganMs: number }]
            worked += clock.monotonicMs - done.beganMs
            consumer.settled(tags, done.tag)
            begin()
          }
        }
        const flow = scene.flow()
        expect([flow.working, flow.waiting]).toEqual([work.length, line.length])
        expect(flow.wait.seconds).toBeCloseTo(waited / 1000, 9)
        expect(flow.processing.seconds).toBeCloseTo(worked / 1000, 9)
        expect(flow.workingSeconds).toBeCloseTo(workingArea / 1000, 9)
        expect(flow.waitingSeconds).toBeCloseTo(waitingArea / 1000, 9)
      }),
    )
  })

  it('is divided among what was done one after the other within a turn', () => {
    const scene = new Scene()
    const consumer = new ConsumerMeter(scene.meter, 1)
    scene.clock.monotonicMs = 5_000
    for (let tag = 1; tag <= 10; tag++) scene.hand(consumer, tag)
    scene.clock.monotonicMs = 5_020
    for (let tag = 1; tag <= 10; tag++) consumer.settled(tags, tag)
    const { count, seconds, secondsSquared } = scene.flow().processing
    expect(count).toBe(10)
    expect(seconds).toBeCloseTo(0.02, 12)
    // Two milliseconds each, and not twenty for one of them and nothing for the others.
    expect(secondsSquared).toBeCloseTo(10 * 0.002 ** 2, 12)
  })

  it('is nothing of what it gave back unfinished', () => {
    const scene = new Scene()
    const consumer = new ConsumerMeter(scene.meter, 2)
    for (let tag = 1; tag <= 5; tag++) scene.hand(consumer, tag)
    scene.clock.monotonicMs = 1_000
    consumer.settled(tags, 1)
    consumer.followNone()
    for (let tag = 2; tag <= 5; tag++) consumer.settled(tags, tag)
    const flow = scene.flow()
    expect([flow.processing.count, flow.working, flow.waiting]).toEqual([1, 0, 0])
  })

  it('comes from about a thousand samples a second, however many there are', () => {
    const scene = new Scene()
    const consumer = new ConsumerMeter(scene.meter, 100)
    for (let tag = 1; tag <= 300_000; tag++) {
      scene.clock.monotonicMs += 0.01
      scene.hand(consumer, tag)
      scene.clock.monotonicMs += 0.001
      consumer.settled(tags, tag)
    }
    const { count, samples, seconds } = scene.flow().processing
    expect(samples).toBeGreaterThan(300)
    expect(samples).toBeLessThan(6_000)
    expect(Math.abs(count / 300_000 - 1)).toBeLessThan(0.05)
    expect(seconds / count).toBeCloseTo(0.000_001, 9)
    // And of all again when there are fewer.
    for (let tag = 300_001; tag <= 300_500; tag++) {
      scene.clock.monotonicMs += 50
      scene.hand(consumer, tag)
      consumer.settled(tags, tag)
    }
    expect(scene.flow().processing.samples - samples).toBeGreaterThan(400)
  })
})

describe('the queues that are measured', () => {
  it('are so many and not more, and give their place back', () => {
    const one = new Scene()
    one.metered.count = 10_000
    const consumer = new ConsumerMeter(one.meter, 1)
    one.hand(consumer, 1)
    consumer.settled(tags, 1)
    expect(one.meter.describe(one.queue, 5)).toBeNull()
    one.metered.count = 9_999
    one.hand(consumer, 2)
    expect(one.metered.count).toBe(10_000)
    expect(one.flow()).toMatchObject({ arrivals: 1, lengthMax: 5 })
    one.meter.close()
    expect(one.metered.count).toBe(9_999)
  })
})
