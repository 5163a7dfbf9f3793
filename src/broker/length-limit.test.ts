// Queues that hold only so much: what goes, what is refused, and what the publisher hears.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, makeMessage, openCore } from '../testing/core-harness.ts'

async function open(table: Readonly<Record<string, string | number>>): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: table })
  channel.declareQueue('dead')
  channel.takeLines()
  return [core, channel]
}

const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }

function post(channel: CoreChannel, ...bodies: string[]): void {
  for (const body of bodies) channel.post('', 'q', body)
}

function deathReason(channel: CoreChannel): unknown {
  const reply = channel.get('dead', true)
  const headers = reply.type === 'basic.get-ok' ? reply.message.decodeProperties().headers : undefined
  return headers?.get('x-first-death-reason')?.value
}

describe('a queue with drop-head', () => {
  test('keeps the newest messages', async () => {
    const [, channel] = await open({ 'x-max-length': 2 })
    post(channel, '1', '2', '3', '4')
    expect(channel.drain('q')).toEqual(['3', '4'])
  })

  test('keeps as many bytes of bodies as it may', async () => {
    const [, channel] = await open({ 'x-max-length-bytes': 5 })
    post(channel, 'aaa', 'bb', 'c')
    expect(channel.drain('q')).toEqual(['bb', 'c'])
    post(channel, 'far too much')
    expect(channel.drain('q')).toEqual([])
  })

  test('tells whoever asks what is left, also before the turn ends', async () => {
    const [, channel] = await open({ 'x-max-length': 1 })
    post(channel, '1', '2')
    expect(channel.declareQueue('q', { passive: true })).toMatchObject({ messageCount: 1 })
    expect(channel.getBody('q')).toBe('2')
  })

  test('gives what it drops to its dead-letter exchange, and says that there was too much', async () => {
    const [, channel] = await open({ 'x-max-length': 1, ...toDead })
    post(channel, '1', '2', '3')
    expect(channel.counts('q')?.ready).toBe(1)
    expect(channel.counts('dead')?.ready).toBe(2)
    expect(deathReason(channel)).toBe('maxlen')
  })

  test('drops the oldest of a queue with keys, although the turn of its key has not come', async () => {
    const [, channel] = await open({ 'x-max-length': 2, 'x-leveret-keyed': 1 })
    const keyed = { headers: { 'x-leveret-key': 'k' } }
    channel.publish('', 'q', '1', keyed)
    expect(channel.getBody('q')).toBe('1')
    for (const body of ['2', '3', '4', '5']) channel.publish('', 'q', body, keyed)
    expect(channel.counts('q')).toEqual({ ready: 2, unacked: 1, consumers: 0 })
    channel.ack(1)
    expect(channel.getBody('q')).toBe('4')
  })

  test('drops the oldest of a queue with keys also where a consumer could take more of another key', async () => {
    const [, channel] = await open({ 'x-max-length': 2, 'x-leveret-keyed': 1 })
    channel.consume('q', { tag: 'c' })
    const keyed = { headers: { 'x-leveret-key': 'k' } }
    for (const body of ['1', '2', '3', '4', '5']) channel.publish('', 'q', body, keyed)
    expect(channel.counts('q')).toEqual({ ready: 2, unacked: 1, consumers: 1 })
  })

  test('gives consumers what they can take before it drops anything, even with no room at all', async () => {
    const [, channel] = await open({ 'x-max-length': 0 })
    channel.qos(2)
    channel.consume('q', { tag: 'c' })
    post(channel, '1', '2', '3')
    channel.ask({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 2, global: false })
    expect(channel.takeBodies()).toEqual(['1', '2'])
    channel.ack(2, true)
    expect(channel.takeBodies()).toEqual([])
    expect(channel.counts('q')).toMatchObject({ ready: 0 })
  })

  test('counts what is ready alone, and looks again when something comes back', async () => {
    const [, channel] = await open({ 'x-max-length': 2 })
    post(channel, '1', '2')
    const reply = channel.get('q')
    channel.get('q')
    post(channel, '3', '4')
    expect(channel.counts('q')).toMatchObject({ ready: 2, unacked: 2 })
    channel.reject(reply.type === 'basic.get-ok' ? reply.deliveryTag : 0, true)
    expect(channel.drain('q')).toEqual(['3', '4'])
  })

  test('drops the most urgent first where there are priorities, as they stand at the head', async () => {
    const [, channel] = await open({ 'x-max-length': 1, 'x-max-priority': 5 })
    channel.post('', 'q', 'urgent', { properties: { priority: 5 } })
    post(channel, 'plain')
    expect(channel.drain('q')).toEqual(['plain'])
  })
})

describe('a queue that refuses', () => {
  const refusing = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }

  test('nacks what it has no room for, alone, and confirms the rest', async () => {
    const [, channel] = await open(refusing)
    channel.ask({ type: 'confirm.select' })
    channel.takeLines()
    post(channel, '1', '2', '3')
    channel.publish('', 'dead', 'other')
    expect(channel.takeLines()).toEqual(['confirm 1', 'refuse 2', 'refuse 3', 'confirm 4'])
    expect(channel.drain('q')).toEqual(['1'])
  })

  test('is silent without confirms, and does not keep other queues from taking the message', async () => {
    const [, channel] = await open(refusing)
    channel.bind('q', 'amq.fanout')
    channel.bind('dead', 'amq.fanout')
    channel.takeLines()
    for (const body of ['1', '2']) channel.post('amq.fanout', '', body, { mandatory: true })
    expect(channel.drain('q')).toEqual(['1'])
    expect(channel.drain('dead')).toEqual(['1', '2'])
    expect(channel.takeLines().filter((line) => line.startsWith('return'))).toEqual([])
  })

  test('refuses by bytes, too, and takes again when there is room', async () => {
    const [, channel] = await open({ 'x-max-length-bytes': 4, 'x-overflow': 'reject-publish' })
    post(channel, 'abcd', 'e')
    expect(channel.drain('q')).toEqual(['abcd'])
    post(channel, 'fgh', 'ij')
    expect(channel.drain('q')).toEqual(['fgh'])
  })

  test('gives consumers what they can take before it refuses', async () => {
    const [, channel] = await open(refusing)
    channel.ask({ type: 'confirm.select' })
    channel.consume('q', { tag: 'c', noAck: true })
    channel.takeLines()
    post(channel, '1', '2', '3', '4')
    channel.publish('', 'q', '5')
    expect(channel.takeLines().filter((line) => line.startsWith('refuse'))).toEqual([])
    expect(channel.takeBodies()).toEqual(['1', '2', '3', '4', '5'])
  })

  test('gives what it refuses to its dead-letter exchange if it is to', async () => {
    const [, channel] = await open({ 'x-max-length': 1, 'x-overflow': 'reject-publish-dlx', ...toDead })
    channel.ask({ type: 'confirm.select' })
    channel.takeLines()
    channel.post('', 'q', '1')
    channel.publish('', 'q', '2')
    expect(channel.takeLines()).toEqual(['confirm 1', 'refuse 2'])
    expect(channel.counts('dead')?.ready).toBe(1)
    expect(deathReason(channel)).toBe('maxlen')
    channel.publish('', 'q', '3')
    expect(channel.drain('q')).toEqual(['1'])
    expect(channel.drain('dead')).toEqual(['3'])
  })

  test('makes a transaction fail as a whole: nothing of it is done', async () => {
    const [, channel] = await open({ ...refusing, 'x-max-length': 2 })
    channel.ask({ type: 'tx.select' })
    for (const body of ['1', '2', '3']) channel.post('', 'q', body)
    channel.post('', 'dead', 'other')
    expect(channel.refusal({ type: 'tx.commit' })).toBe('PRECONDITION_FAILED - partial tx completion')
    const after = channel.sibling()
    expect(after.drain('q')).toEqual([])
    expect(after.drain('dead')).toEqual([])
    after.commit([], [makeMessage('', 'q', '4'), makeMessage('', 'q', '5')])
    expect(after.drain('q')).toEqual(['4', '5'])
  })

  test('loses what a dead-letter exchange would bring when it is full', async () => {
    const [, channel] = await open({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'small' })
    channel.declareQueue('small', { arguments: refusing })
    post(channel, '1', '2')
    for (let round = 0; round < 2; round++) {
      const reply = channel.get('q')
      if (reply.type === 'basic.get-ok') channel.reject(reply.deliveryTag, false)
    }
    expect(channel.drain('small')).toEqual(['1'])
    expect(channel.drain('q')).toEqual([])
  })
})
