// How many handlers run at the same time where nobody said how many.
import { expect } from 'vitest'
import { Arrivals, conformance, Gate } from './scene.ts'

/** Real time goes by here: what is waited for is outside of the library. */
function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

conformance((test) => {
  test("'auto' runs more handlers where more of them do more", async ({ bus, name }) => {
    const queue = await bus.createQueue<number>(name())
    const done = new Arrivals<number>()
    await queue.sendMany(Array.from({ length: 1_500 }, (_, at) => at))
    const worker = queue.process(
      async ({ data }) => {
        await wait(5)
        done.add(data)
      },
      { concurrency: { max: 32 } },
    )
    expect(new Set(await done.first(1_500)).size).toBe(1_500)
    const { concurrency } = worker.stats()
    expect(concurrency).toMatchObject({ min: 1, max: 32 })
    expect(concurrency.limit).toBeGreaterThan(4)
    await worker.close()
    expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
  })

  test("'auto' holds as many messages as its handlers need, and leaves the rest to others", async ({
    bus,
    name,
    another,
  }) => {
    const queueName = name()
    const queue = await bus.createQueue<number>(queueName)
    const elsewhere = await (await another()).createQueue<number>(queueName)
    const [gate, begun] = [new Gate(), new Arrivals<number>()]
    await queue.sendMany(Array.from({ length: 20 }, (_, at) => at))
    const hold = async ({ data }: { data: number }): Promise<void> => {
      begun.add(data)
      await gate.opened
    }
    const first = queue.process(hold, { concurrency: 'auto' })
    await begun.first(4)
    const second = elsewhere.process(hold, { concurrency: 'auto' })
    await begun.first(8)
    expect(await queue.count()).toMatchObject({ ready: 4, consumers: 2 })
    gate.open()
    await begun.first(20)
    await first.close()
    await second.close()
  })
})
