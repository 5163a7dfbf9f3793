// What no binding takes: the alternate exchange of each exchange on the way, and what that means for the publisher.
import { describe, expect, test } from 'vitest'
import { type CoreChannel, openCore } from '../testing/core-harness.ts'

async function open(): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  for (const queue of ['bound', 'rest', 'last']) channel.declareQueue(queue)
  channel.declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 'rest.x' } })
  channel.declareExchange('rest.x', 'fanout')
  channel.bind('bound', 'x', 'k')
  return channel
}

describe('an alternate exchange', () => {
  test('gets what no binding takes, and nothing else', async () => {
    const channel = await open()
    channel.bind('rest', 'rest.x')
    channel.publish('x', 'k', 'taken')
    channel.publish('x', 'other', 'left')
    expect(channel.drain('bound')).toEqual(['taken'])
    expect(channel.drain('rest')).toEqual(['left'])
  })

  test('makes a mandatory message routed', async () => {
    const channel = await open()
    channel.bind('rest', 'rest.x')
    channel.takeLines()
    channel.publish('x', 'other', 'a', { mandatory: true })
    expect(channel.takeLines()).toEqual([])
    channel.unbind('rest', 'rest.x')
    channel.publish('x', 'other', 'b', { mandatory: true })
    expect(channel.takeLines().slice(1)).toEqual(['return NO_ROUTE b'])
  })

  test('that does not exist takes nothing; once it does, it takes', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 'later' } })
    channel.publish('x', 'k', 'lost')
    channel.declareExchange('later', 'fanout')
    channel.declareQueue('q')
    channel.bind('q', 'later')
    channel.publish('x', 'k', 'kept')
    expect(channel.drain('q')).toEqual(['kept'])
  })

  test('has an alternate of its own, is asked for each exchange on the way, and ends where it began', async () => {
    const channel = await open()
    channel.declareExchange('second', 'direct', { arguments: { 'alternate-exchange': 'third' } })
    channel.declareExchange('third', 'direct', { arguments: { 'alternate-exchange': 'second' } })
    channel.bindExchange('second', 'amq.fanout')
    channel.bind('last', 'third', 'k')
    channel.publish('amq.fanout', 'k', 'a')
    expect(channel.drain('last')).toEqual(['a'])
    channel.publish('amq.fanout', 'other', 'b', { mandatory: true })
    expect(channel.takeLines().at(-1)).toBe('return NO_ROUTE b')
  })

  test('can be the default exchange', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    channel.declareExchange('x', 'direct', { arguments: { 'alternate-exchange': '' } })
    channel.publish('x', 'q', 'a')
    expect(channel.drain('q')).toEqual(['a'])
  })

  test('is not asked where a binding leads to an exchange that has nothing for the message', async () => {
    const channel = await open()
    channel.bind('rest', 'rest.x')
    channel.declareExchange('dead end', 'direct')
    channel.bindExchange('dead end', 'x', 'there')
    channel.publish('x', 'there', 'a')
    expect(channel.drain('rest')).toEqual([])
  })
})
