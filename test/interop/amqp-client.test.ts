// @cloudamqp/amqp-client against the real binary: the common table, and its sessions that reconnect.
import { type AMQPMessage, AMQPSession } from '@cloudamqp/amqp-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudamqpClient } from '../support/clients/cloudamqp.ts'
import { describeConformance } from '../support/conformance.ts'
import { LeveretProcess } from '../support/leveret-process.ts'

describe('@cloudamqp/amqp-client and Leveret', () => {
  let leveret: LeveretProcess

  beforeAll(async () => {
    leveret = await LeveretProcess.start()
  })

  afterAll(async () => {
    await leveret?.dispose()
  })

  describeConformance(cloudamqpClient, () => ({ url: leveret.url, isRabbitmq310: false }))
})

describe('@cloudamqp/amqp-client and a Leveret that comes and goes', () => {
  it('reconnects its session and subscriptions by itself', async () => {
    await using leveret = await LeveretProcess.start()
    let connections = 0
    let connected = (): void => {}
    const session = await AMQPSession.connect(leveret.url, {
      // It doubles from here; nothing waits longer than the last value.
      reconnectInterval: 20,
      maxReconnectInterval: 100,
      onconnect() {
        connections++
        connected()
      },
    })
    const queue = await session.queue('jobs', { durable: true })
    const messages: AMQPMessage[] = []
    let wake = (): void => {}
    await queue.subscribe({ noAck: false, manualAck: true, prefetch: 10 }, (message) => {
      messages.push(message)
      wake()
    })
    const arrival = async (count: number): Promise<void> => {
      while (messages.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    await queue.publish('before')
    await arrival(1)

    const before = connections
    const back = new Promise<void>((resolve) => {
      connected = resolve
    })
    await leveret.kill()
    await leveret.start()
    await back
    await arrival(2)
    await queue.publish('after')
    await arrival(3)
    expect(messages.map((message) => [message.bodyString(), message.redelivered])).toEqual([
      ['before', false],
      ['before', true],
      ['after', false],
    ])
    expect(connections).toBe(before + 1)
    await messages[1]!.ack()
    await messages[2]!.ack()
    await session.stop()
  })
})
