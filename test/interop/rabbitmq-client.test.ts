// rabbitmq-client against the real binary: the common table, and its publishers and consumers that reconnect.
import { Connection } from 'rabbitmq-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rabbitmqClient } from '../support/clients/rabbitmq-client.ts'
import { describeConformance } from '../support/conformance.ts'
import { LeveretProcess } from '../support/leveret-process.ts'

describe('rabbitmq-client and Leveret', () => {
  let leveret: LeveretProcess

  beforeAll(async () => {
    leveret = await LeveretProcess.start()
  })

  afterAll(async () => {
    await leveret?.dispose()
  })

  describeConformance(rabbitmqClient, () => ({ url: leveret.url, isRabbitmq310: false }))
})

describe('rabbitmq-client and a Leveret that comes and goes', () => {
  it('reconnects publisher and consumer by itself, and loses nothing that was confirmed', async () => {
    await using leveret = await LeveretProcess.start()
    const connection = new Connection({ url: leveret.url, retryLow: 20, retryHigh: 100 })
    connection.on('error', () => {})
    const seen = new Map<string, boolean[]>()
    let complete = (): void => {}
    const all = new Promise<void>((resolve) => {
      complete = resolve
    })
    const wanted = 200
    const consumer = connection.createConsumer(
      { queue: 'jobs', queueOptions: { durable: true }, qos: { prefetchCount: 20 } },
      (message) => {
        const id = String(message.messageId)
        seen.set(id, [...(seen.get(id) ?? []), message.redelivered === true])
        if (seen.size === wanted) complete()
      },
    )
    consumer.on('error', () => {})
    const publisher = connection.createPublisher({
      confirm: true,
      maxAttempts: 50,
      queues: [{ queue: 'jobs', durable: true }],
    })
    const sent: Promise<void>[] = []
    const send = (from: number, to: number): void => {
      for (let id = from; id < to; id++) {
        sent.push(
          publisher.send({ routingKey: 'jobs', messageId: String(id), durable: true }, Buffer.from(`job ${id}`)),
        )
      }
    }
    send(0, 100)
    await sent[50]
    await leveret.kill()
    await leveret.start()
    send(100, wanted)
    await Promise.all(sent)
    await all
    expect([...seen.keys()].map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: wanted }, (_, id) => id))
    await consumer.close()
    await publisher.close()
    await connection.close()
  })
})
