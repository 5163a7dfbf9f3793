// CC and BCC: a message that goes by more keys than its own.
import { describe, expect, test } from 'vitest'
import type { Field } from '../model/field-table.ts'
import { type CoreChannel, openCore } from '../testing/core-harness.ts'

async function open(): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  for (const queue of ['a', 'b', 'c']) channel.declareQueue(queue)
  return channel
}

function take(channel: CoreChannel, queue: string) {
  const reply = channel.get(queue, true)
  if (reply.type !== 'basic.get-ok') throw new Error(`${queue} is empty`)
  return reply.message
}

const headerNames = (channel: CoreChannel, queue: string) => [
  ...(take(channel, queue).decodeProperties().headers?.keys() ?? []),
]

describe('a message with CC and BCC', () => {
  test('goes by all its keys, once to each queue, and shows the key it was published with', async () => {
    const channel = await open()
    channel.publish('', 'a', 'm', { headers: { CC: ['b', 'a', 'b'], BCC: ['c'] } })
    expect(['a', 'b', 'c'].map((queue) => channel.counts(queue)?.ready)).toEqual([1, 1, 1])
    expect(take(channel, 'b').routingKey).toBe('a')
  })

  test('shows CC and hides BCC: from consumers, from basic.get, and where it is returned', async () => {
    const channel = await open()
    channel.publish('', 'a', 'm', { headers: { CC: ['b'], BCC: ['c'], own: 1 } })
    expect(headerNames(channel, 'a')).toEqual(['CC', 'own'])
    channel.consume('b')
    expect([...(channel.deliveries[0]?.message.decodeProperties().headers?.keys() ?? [])]).toEqual(['CC', 'own'])
    let returned: string[] = []
    channel.returned = (message) => {
      returned = [...(message.decodeProperties().headers?.keys() ?? [])]
    }
    channel.publish('', 'nobody', 'm', { mandatory: true, headers: { CC: ['none'], BCC: ['none'] } })
    expect(returned).toEqual(['CC'])
  })

  test('goes by all its keys through every kind of exchange', async () => {
    const channel = await open()
    channel.bind('a', 'amq.topic', 'one.#')
    channel.bind('b', 'amq.topic', 'two.*')
    channel.bind('c', 'amq.direct', 'three')
    channel.bindExchange('amq.direct', 'amq.topic', '#')
    channel.publish('amq.topic', 'one', 'm', { headers: { CC: ['two.x', 'three'] } })
    expect(['a', 'b', 'c'].map((queue) => channel.drain(queue))).toEqual([['m'], ['m'], ['m']])
  })

  test('leaves out what is no text among the keys', async () => {
    const channel = await open()
    channel.publish('', 'a', 'm', { headers: { CC: [1, 'b', null] } })
    expect(channel.drain('b')).toEqual(['m'])
  })

  test('is no surprise for the next one without: routes that are remembered are those of one key', async () => {
    const channel = await open()
    channel.publish('', 'a', '1')
    channel.publish('', 'a', '2', { headers: { CC: ['b'] } })
    channel.publish('', 'a', '3')
    expect(channel.drain('a')).toEqual(['1', '2', '3'])
    expect(channel.drain('b')).toEqual(['2'])
  })
})

describe('a dead letter with CC and BCC', () => {
  const kill = (channel: CoreChannel, queue: string): void => {
    const reply = channel.get(queue)
    if (reply.type === 'basic.get-ok') channel.reject(reply.deliveryTag, false)
  }

  test('goes by all of its keys again, and names those that may be known', async () => {
    const channel = await open()
    channel.declareQueue('dying', { arguments: { 'x-dead-letter-exchange': 'amq.topic' } })
    channel.bind('a', 'amq.topic', 'dying')
    channel.bind('b', 'amq.topic', 'copy')
    channel.bind('c', 'amq.topic', 'hidden')
    channel.publish('', 'dying', 'm', { headers: { CC: ['copy'], BCC: ['hidden'] } })
    kill(channel, 'dying')
    expect(channel.drain('b')).toEqual(['m'])
    expect(channel.drain('c')).toEqual(['m'])
    const message = take(channel, 'a')
    const deaths = message.decodeProperties().headers?.get('x-death')?.value as readonly Field[]
    const [event] = deaths.map(({ value }) => value as ReadonlyMap<string, Field>)
    const keys = (event?.get('routing-keys')?.value ?? []) as readonly Field[]
    expect(keys.map(({ value }) => value)).toEqual(['dying', 'copy'])
  })

  test('goes by the key that the queue names alone, also when it dies again', async () => {
    const channel = await open()
    const once = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'again' }
    channel.declareQueue('dying', { arguments: once })
    channel.declareQueue('again', { arguments: { 'x-dead-letter-exchange': 'amq.fanout' } })
    channel.bind('a', 'amq.fanout')
    channel.publish('', 'dying', 'm', { headers: { CC: ['b'] } })
    expect(channel.drain('b')).toEqual(['m'])
    kill(channel, 'dying')
    expect(channel.drain('b')).toEqual([])
    channel.bind('c', 'amq.direct', 'b')
    kill(channel, 'again')
    expect(take(channel, 'a').decodeProperties().headers?.has('CC')).toBe(true)
  })
})
