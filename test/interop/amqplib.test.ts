// amqplib against the real binary: the common table, and what only amqplib has.
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { amqplibClient } from '../support/clients/amqplib.ts'
import { describeConformance, Inbox, textOf } from '../support/conformance.ts'
import { LeveretProcess } from '../support/leveret-process.ts'

describe('amqplib and Leveret', () => {
  let leveret: LeveretProcess

  beforeAll(async () => {
    leveret = await LeveretProcess.start()
  })

  afterAll(async () => {
    await leveret?.dispose()
  })

  describeConformance(amqplibClient, () => ({ url: leveret.url, isRabbitmq310: false }))

  it('learns who it talks to', async () => {
    const model = await connect(leveret.url)
    expect(model.connection.serverProperties).toMatchObject({
      product: expect.any(String),
      version: expect.stringMatching(/^4\.2\./),
      cluster_name: expect.any(String),
      capabilities: {
        publisher_confirms: true,
        exchange_exchange_bindings: true,
        'basic.nack': true,
        consumer_cancel_notify: true,
        'connection.blocked': true,
        per_consumer_qos: true,
        authentication_failure_close: true,
      },
    })
    await model.close()
  })

  it('asks the broker for its queues in plain AMQP, as docs/protocol.md has it', async () => {
    const model = await connect(leveret.url)
    const channel = await model.createChannel()
    await channel.assertQueue('asked-for', { durable: true, arguments: { 'x-own': 'yes' } })
    channel.sendToQueue('asked-for', Buffer.from('three'))
    const { queue: replyTo } = await channel.assertQueue('', { exclusive: true })
    await channel.checkExchange('leveret.control')
    const answer = new Promise<ConsumeMessage | null>((resolve) => {
      void channel.consume(replyTo, resolve, { noAck: true })
    })
    channel.publish('leveret.control', 'queues', Buffer.alloc(0), { replyTo, correlationId: 'one' })
    const message = await answer
    expect(message?.properties).toMatchObject({
      type: 'leveret.queues-ok',
      contentType: 'application/json',
      correlationId: 'one',
    })
    const queues = JSON.parse(message?.content.toString() ?? '') as { readonly name: string }[]
    expect(queues.find(({ name }) => name === 'asked-for')).toMatchObject({
      durable: true,
      arguments: { 'x-own': 'yes' },
      ready: 1,
      readyBytes: 5,
      unacked: 0,
      consumers: 0,
      counters: { published: 1, publishedBytes: 5, delivered: 0 },
    })
    expect(queues.find(({ name }) => name === replyTo)).toMatchObject({ exclusive: true, consumers: 1 })
    await model.close()
  })
})

describe('amqplib and a Leveret that comes and goes', () => {
  it.each(['stopped', 'killed'] as const)('reconnects by itself when the broker was %s, and goes on', async (how) => {
    await using leveret = await LeveretProcess.start()
    const inbox = new Inbox()
    let current: ConfirmChannel | null = null
    let connections = 0
    const connection = await connect(leveret.url, {
      recovery: {
        initialDelay: 20,
        maxDelay: 100,
        async setup(model: ChannelModel) {
          connections++
          const channel = await model.createConfirmChannel()
          current = channel
          channel.on('error', () => {})
          await channel.assertQueue('jobs', { durable: true })
          await channel.consume('jobs', (message) => {
            if (message === null) return
            const { exchange, routingKey, deliveryTag, redelivered } = message.fields
            const { content: body } = message
            inbox.listener({ exchange, routingKey, deliveryTag, redelivered, body, messageCount: 0, properties: {} })
          })
        },
      },
    })
    connection.on('error', () => {})
    const confirming = (): ConfirmChannel => current as unknown as ConfirmChannel
    confirming().sendToQueue('jobs', Buffer.from('before'), { persistent: true })
    await confirming().waitForConfirms()
    expect(textOf(await inbox.next())).toBe('before')

    const back = new Promise((resolve) => connection.on('connect', resolve))
    if (how === 'stopped') expect(await leveret.stop()).toEqual({ code: 0, signal: null })
    else await leveret.kill()
    await leveret.start()
    await back
    const again = await inbox.next()
    expect([textOf(again), again.redelivered]).toEqual(['before', true])
    confirming().sendToQueue('jobs', Buffer.from('after'), { persistent: true })
    expect(textOf(await inbox.next())).toBe('after')
    confirming().ackAll()
    expect(connections).toBe(2)
    await connection.close()
  })

  it('is told that the broker stops', async () => {
    await using leveret = await LeveretProcess.start()
    const connection = await amqplibClient.connect(leveret.url)
    await leveret.stop()
    expect(await connection.ended).toMatchObject({ code: 320, text: expect.stringContaining('CONNECTION_FORCED') })
  })
})
