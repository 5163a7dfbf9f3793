// The prefetch of a worker that finds its concurrency, on RabbitMQ: there it follows by a new consumer, for quorum queues refuse a
// limit over the channel.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect } from '../../src/index.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

let broker: Awaited<ReturnType<typeof startRabbitmq>>

beforeAll(async () => {
  broker = await startRabbitmq()
})

afterAll(async () => {
  await broker?.stop()
})

it.each(['classic', 'quorum'])('a worker on a %s queue grows, and its prefetch with it', async (type) => {
  const errors: Error[] = []
  await using bus = await connect(broker.url, { onError: (error) => errors.push(error) })
  const queue = await bus.createQueue<number>(`auto.${type}`, { arguments: { 'x-queue-type': type } })
  await queue.sendMany(Array.from({ length: 3_000 }, (_, at) => at))
  let [running, most, done] = [0, 0, 0]
  let end: () => void = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const worker = queue.process(
    async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 20))
      running--
      if (++done === 3_000) end()
    },
    { concurrency: { max: 32 } },
  )
  await ended
  expect(most).toBeGreaterThan(8)
  expect(worker.stats().concurrency.limit).toBeGreaterThan(8)
  expect(await queue.count()).toMatchObject({ ready: 0, consumers: 1 })
  await worker.close()
  expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
  expect(errors).toEqual([])
})
