// Direct reply-to: answers that go to a channel without a queue that anybody declares.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, consume, declareQueue, makeMessage, openCore } from '../testing/core-harness.ts'

const pseudoQueue = 'amq.rabbitmq.reply-to'

async function open(): Promise<[Core, CoreChannel, CoreChannel]> {
  const core = await openCore()
  const [client, server] = [await core.channel(), await core.channel()]
  server.declareQueue('requests')
  return [core, client, server]
}

/** Sends a request and returns the name that its answer is to go to. */
function ask(client: CoreChannel, server: CoreChannel): string {
  client.publish('', 'requests', 'question', { properties: { replyTo: pseudoQueue, correlationId: '1' } })
  const reply = server.get('requests', true)
  return (reply.type === 'basic.get-ok' ? reply.message.decodeProperties().replyTo : '') ?? ''
}

describe('direct reply-to', () => {
  test('brings an answer to the channel that asked, under a name nobody can guess', async () => {
    const [, client, server] = await open()
    client.consume(pseudoQueue, { tag: 'answers', noAck: true })
    const replyTo = ask(client, server)
    expect(replyTo).toMatch(/^amq\.rabbitmq\.reply-to\.[\w-]{22}$/)
    server.publish('', replyTo, 'answer')
    const [delivery] = client.deliveries
    expect(delivery).toMatchObject({ consumerTag: 'answers', body: 'answer', redelivered: false })
    expect([delivery?.message.exchange, delivery?.message.routingKey]).toEqual(['', replyTo])
  })

  test('counts as routed as long as somebody waits, and is shown to nobody', async () => {
    const [, client, server] = await open()
    client.consume(pseudoQueue, { tag: 'answers', noAck: true })
    const replyTo = ask(client, server)
    expect(server.declareQueue(replyTo, { passive: true })).toEqual({
      type: 'queue.declare-ok',
      queue: replyTo,
      messageCount: 0,
      consumerCount: 1,
    })
    expect(server.has(replyTo)).toBe(false)
    server.takeLines()
    server.publish('', replyTo, 'answer', { mandatory: true })
    expect(server.takeLines()).toEqual([])
    client.cancel('answers')
    server.publish('', replyTo, 'too late', { mandatory: true })
    expect(server.takeLines()).toEqual(['return NO_ROUTE too late'])
    expect(server.refusal(declareQueue(replyTo, { passive: true }))).toBe(
      `NOT_FOUND - no queue '${replyTo}' in vhost '/'`,
    )
  })

  test('ends with the channel, and with the consumer another may begin', async () => {
    const [, client, server] = await open()
    client.consume(pseudoQueue, { tag: 'answers', noAck: true })
    const first = ask(client, server)
    client.cancel('answers')
    client.consume(pseudoQueue, { tag: 'again', noAck: true })
    const second = ask(client, server)
    expect(second).not.toBe(first)
    client.close()
    server.takeLines()
    server.publish('', second, 'too late', { mandatory: true })
    expect(server.takeLines()).toEqual(['return NO_ROUTE too late'])
  })

  test('a message that asks for another way to answer is left alone', async () => {
    const [, client, server] = await open()
    client.publish('', 'requests', 'question', { properties: { replyTo: 'amq.rabbitmq.reply-tO' } })
    const reply = server.get('requests', true)
    expect(reply.type === 'basic.get-ok' && reply.message.decodeProperties().replyTo).toBe('amq.rabbitmq.reply-tO')
  })

  test('wants a consumer that does not acknowledge, one for each channel, and before the request', async () => {
    const [, client] = await open()
    expect(client.sibling().refusal(consume(pseudoQueue))).toBe(
      'PRECONDITION_FAILED - reply consumer cannot acknowledge',
    )
    client.consume(pseudoQueue, { noAck: true })
    const other = client.sibling()
    other.publish('', 'requests', 'question', { properties: { replyTo: pseudoQueue } })
    expect(other.error?.message).toBe('PRECONDITION_FAILED - fast reply consumer does not exist')
    expect(client.refusal(consume(pseudoQueue, { noAck: true }))).toBe(
      'PRECONDITION_FAILED - reply consumer already set',
    )
  })

  test('is rewritten when it is published, also with what a handler commits', async () => {
    const [, client, server] = await open()
    client.consume(pseudoQueue, { tag: 'answers', noAck: true })
    client.commit([], [makeMessage('', 'requests', 'question', { properties: { replyTo: pseudoQueue } })])
    const reply = server.get('requests', true)
    const replyTo = reply.type === 'basic.get-ok' ? reply.message.decodeProperties().replyTo : ''
    server.publish('', replyTo ?? '', 'answer')
    expect(client.takeBodies()).toEqual(['answer'])
  })

  test('is rewritten when it is published, also in a transaction', async () => {
    const [, client, server] = await open()
    client.consume(pseudoQueue, { tag: 'answers', noAck: true })
    client.ask({ type: 'tx.select' })
    client.post('', 'requests', 'question', { properties: { replyTo: pseudoQueue } })
    client.ask({ type: 'tx.commit' })
    const reply = server.get('requests', true)
    const replyTo = reply.type === 'basic.get-ok' ? reply.message.decodeProperties().replyTo : ''
    server.publish('', replyTo ?? '', 'answer')
    expect(client.takeBodies()).toEqual(['answer'])
  })
})
