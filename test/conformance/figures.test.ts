// What a queue tells of how messages go through it, and what is made of that: the same on every engine that can tell.
import { expect } from 'vitest'
import { conformance } from './scene.ts'

conformance((test) => {
  test(
    'waits and processing times are told as they were',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      await queue.sendMany(Array.from({ length: 20 }, (_, at) => at))
      await pause(50)
      expect(await queue.stats()).toMatchObject({ waitSeconds: null, processingSeconds: null })
      expect((await queue.stats()).oldestSeconds).toBeGreaterThan(0.04)
      let took = 0
      let done = 0
      const worker = queue.process(async () => {
        const began = performance.now()
        await pause(5)
        took += performance.now() - began
        done++
      })
      await expect.poll(async () => (await queue.stats()).length, { interval: 20, timeout: 10_000 }).toBe(0)
      const { waitSeconds, processingSeconds, oldestSeconds } = await queue.stats()
      expect(done).toBe(20)
      expect([waitSeconds?.count, processingSeconds?.count, oldestSeconds]).toEqual([20, 20, null])
      // The first waited for the worker, the last for all the others as well. The time of the commit is the broker's to count.
      expect(waitSeconds?.p50).toBeGreaterThan(0.05)
      expect(waitSeconds?.max).toBeGreaterThanOrEqual((waitSeconds?.p95 ?? 0) * 0.99)
      expect((processingSeconds?.mean ?? 0) * 1_000).toBeGreaterThan((took / 20) * 0.8)
      expect(processingSeconds?.max).toBeLessThan(10)
      await worker.close()
    },
    { needs: 'stats' },
  )

  test(
    'a model knows the workers, says what is to be expected, and why it cannot',
    async ({ bus, name, another }) => {
      const queue = await bus.createQueue<number>(name(), { maxLength: 1_000, overflow: 'reject' })
      const workers = [
        queue.process(() => {}, { concurrency: 3 }),
        (await (await another()).openQueue(queue.name)).process(() => {}, { concurrency: 2 }),
      ]
      for (const worker of workers) await worker.ready()
      await queue.sendMany([1, 2, 3])
      await expect.poll(async () => (await queue.model()).samples.processed, { interval: 20, timeout: 10_000 }).toBe(3)
      const model = await queue.model()
      expect(model).toMatchObject({ name: queue.name, servers: 5, drainSeconds: { value: 0, confidence: 'high' } })
      expect(model.expectedWaitSeconds).toMatchObject({ value: null, confidence: 'none' })
      expect(model.expectedWaitSeconds.reasons.join()).toContain('too few samples: 3 arrivals')
      expect(model.arrivalRate).toBeGreaterThan(0)
      const forecast = await queue.forecast({ workers: 4, concurrency: 2, arrival: '1/s' })
      expect(forecast).toMatchObject({ servers: 8, arrivalRate: 1, serversNeeded: 1 })
      for (const worker of workers) await worker.close()
      await queue.send(4)
      expect(await queue.model()).toMatchObject({ servers: 0, drainSeconds: { value: 'never drains' } })
    },
    { needs: 'stats' },
  )

  test(
    'all queues of a bus tell of themselves',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<number>(name())
      await queue.send(1)
      const found = (await bus.stats()).find((one) => one.name === queue.name)
      expect(found).toMatchObject({ ready: 1, waitSeconds: null, processingSeconds: null })
      expect(found?.oldestSeconds).toBeGreaterThanOrEqual(0)
    },
    { needs: 'stats' },
  )
})

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
