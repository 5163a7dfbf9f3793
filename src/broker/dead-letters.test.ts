// What a queue gets rid of: who gets it, what the message then says of itself, and that a crash never doubles or loses it.
import { describe, expect, test } from 'vitest'
import type { Field, FieldTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { type Core, type CoreChannel, declareQueue, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }

async function open(queueArguments: Readonly<Record<string, string | number>> = toDead): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: queueArguments })
  channel.declareQueue('dead')
  return [core, channel]
}

/** Takes one message out of the queue and rejects it. */
function reject(channel: CoreChannel, queue: string): void {
  const reply = channel.get(queue)
  if (reply.type === 'basic.get-ok') channel.reject(reply.deliveryTag, false)
}

function take(channel: CoreChannel, queue: string): Message {
  const reply = channel.get(queue, true)
  if (reply.type !== 'basic.get-ok') throw new Error(`${queue} is empty`)
  return reply.message
}

function headersOf(message: Message): FieldTable {
  return message.decodeProperties().headers ?? new Map()
}

const textOf = ({ value }: Field) => String(value as string | number | bigint)

/** The events of x-death, each as its keys and values in order. */
function deathsOf(message: Message): string[] {
  const events = (headersOf(message).get('x-death')?.value ?? []) as readonly Field[]
  return events.map(({ value }) =>
    [...(value as FieldTable)]
      .map(([key, field]) => {
        const shown = field.tag === 'A' ? (field.value as readonly Field[]).map(textOf).join() : textOf(field)
        return `${key}=${field.tag}:${shown}`
      })
      .join(' '),
  )
}

describe('a message that is rejected', () => {
  test('goes to the dead-letter exchange, under the key the queue names, and says why', async () => {
    const [core, channel] = await open()
    core.clock.advance(5_500)
    channel.publish('', 'q', 'a', { headers: { own: 1 } })
    reject(channel, 'q')
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 0 })
    const message = take(channel, 'dead')
    expect([message.exchange, message.routingKey, message.body.toString()]).toEqual(['', 'dead', 'a'])
    expect(deathsOf(message)).toEqual(['count=l:1 reason=S:rejected queue=S:q time=T:5 exchange=S: routing-keys=A:q'])
    const others = [...headersOf(message)].filter(([name]) => name !== 'x-death')
    expect(others.map(([name, field]) => `${name} ${textOf(field)}`)).toEqual([
      'own 1',
      'x-first-death-queue q',
      'x-last-death-queue q',
      'x-first-death-reason rejected',
      'x-last-death-reason rejected',
      'x-first-death-exchange ',
      'x-last-death-exchange ',
    ])
  })

  test('that was hidden before is not hidden again', async () => {
    const [core, channel] = await open()
    channel.publish('', 'q', 'a', { headers: { 'x-leveret-delay': 100 } })
    core.clock.advance(200)
    reject(channel, 'q')
    expect(channel.counts('dead')?.ready).toBe(1)
    expect(take(channel, 'dead').decodeProperties().headers?.has('x-leveret-delay')).toBe(false)
  })

  test('keeps its own key where the queue names none', async () => {
    const [, channel] = await open({ 'x-dead-letter-exchange': 'graves' })
    channel.declareExchange('graves', 'topic')
    channel.bind('dead', 'graves', 'q.#')
    channel.declareQueue('q.1', { arguments: { 'x-dead-letter-exchange': 'graves' } })
    channel.publish('', 'q.1', 'a')
    reject(channel, 'q.1')
    const message = take(channel, 'dead')
    expect([message.exchange, message.routingKey]).toEqual(['graves', 'q.1'])
  })

  test('is only gone from a queue that names no exchange, or one that is not there', async () => {
    const [, channel] = await open({})
    channel.declareQueue('lost', { arguments: { 'x-dead-letter-exchange': 'none' } })
    channel.publish('', 'q', 'a')
    channel.publish('', 'lost', 'b')
    reject(channel, 'q')
    reject(channel, 'lost')
    expect(['q', 'lost', 'dead'].map((name) => channel.counts(name)?.ready)).toEqual([0, 0, 0])
  })

  test('several at once go in their order', async () => {
    const [, channel] = await open()
    for (const body of ['a', 'b', 'c']) channel.publish('', 'q', body)
    channel.consume('q', { tag: 'c' })
    channel.reject(3, false, true)
    expect(channel.drain('dead')).toEqual(['a', 'b', 'c'])
  })

  test('with requeue, or acknowledged, stays out of there', async () => {
    const [, channel] = await open()
    channel.publish('', 'q', 'a')
    channel.consume('q', { tag: 'c' })
    channel.reject(1, true)
    channel.ack(2)
    expect(channel.counts('dead')?.ready).toBe(0)
  })

  test('in a transaction, goes when it commits', async () => {
    const [, channel] = await open()
    channel.publish('', 'q', 'a')
    channel.consume('q', { tag: 'c' })
    channel.ask({ type: 'tx.select' })
    channel.reject(1, false)
    expect(channel.counts('dead')?.ready).toBe(0)
    channel.ask({ type: 'tx.rollback' })
    channel.reject(1, false)
    channel.ask({ type: 'tx.commit' })
    expect(channel.drain('dead')).toEqual(['a'])
  })

  test('twice by one queue, counts there and keeps the time of the first', async () => {
    const [core, channel] = await open()
    channel.declareQueue('dead2')
    channel.declareQueue('round', { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'round' } })
    core.clock.advance(1_000)
    channel.publish('', 'round', 'a')
    reject(channel, 'round')
    core.clock.advance(9_000)
    reject(channel, 'round')
    expect(deathsOf(take(channel, 'round'))).toEqual([
      'count=l:2 reason=S:rejected queue=S:round time=T:1 exchange=S: routing-keys=A:round',
    ])
  })

  test('is passed on though its headers cannot be read', async () => {
    const [, channel] = await open()
    const broken = channel.get.bind(channel)
    channel.publish('', 'q', 'a', { headers: { own: 1 } })
    const reply = broken('q')
    if (reply.type !== 'basic.get-ok') throw new Error('it is there')
    const { message } = reply
    // The type of the value: there is none of that name.
    message.source[message.source.indexOf('own') + 3] = 0x7a
    channel.reject(reply.deliveryTag, false)
    expect(channel.drain('dead')).toEqual(['a'])
  })

  test('does not go round for ever though its headers cannot be read, and nobody can say where it was', async () => {
    const [core, channel] = await open()
    const round = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'round', 'x-max-length': 0 }
    channel.declareQueue('round', { arguments: { ...round, 'x-message-ttl': 5 } })
    // A header of a type that there is not.
    const properties = Buffer.from([0x20, 0, 0, 0, 0, 3, 1, 0x6b, 0x7a])
    channel.port.publish(Message.of('', 'round', properties, Buffer.from('a')), false)
    core.settle()
    core.clock.advance(100)
    expect(channel.counts('round')).toEqual({ ready: 0, unacked: 0, consumers: 0 })
    expect(core.broker.residentBytes).toBe(0)
  })

  // Re-encoding such text makes three octets of one, and a timestamp beyond 2^53 another number: neither may cost anybody but
  // the sender anything, least of all the process.
  test('keeps, octet by octet, properties that are no text or no number that JavaScript has', async () => {
    const [, channel] = await open()
    const noText = Buffer.alloc(255, 0xff)
    // content-type, timestamp and cluster-id.
    const properties = Buffer.concat([
      Buffer.from([0x80, 0x44, 255]),
      noText,
      Buffer.alloc(8, 0xff),
      Buffer.from([255]),
      noText,
    ])
    channel.port.publish(Message.of('', 'q', properties, Buffer.from('a')), false)
    reject(channel, 'q')
    const message = take(channel, 'dead')
    expect(deathsOf(message)).toHaveLength(1)
    const bytes = message.propertyBytes
    // Headers, and the broker's own mark.
    expect(bytes.readUInt16BE(0)).toBe(0x8044 | 0x2000 | 2)
    expect(bytes.subarray(2, 258)).toEqual(properties.subarray(2, 258))
    expect(bytes.subarray(-264)).toEqual(properties.subarray(258))
  })

  test('keeps a header whose name is no text', async () => {
    const [, channel] = await open()
    const key = Buffer.concat([Buffer.from([255]), Buffer.alloc(255, 0xff), Buffer.from('V')])
    const length = Buffer.alloc(4)
    length.writeUInt32BE(key.length)
    const properties = Buffer.concat([Buffer.from([0x20, 0]), length, key])
    channel.port.publish(Message.of('', 'q', properties, Buffer.from('a')), false)
    reject(channel, 'q')
    const message = take(channel, 'dead')
    expect(deathsOf(message)).toHaveLength(1)
    expect(message.propertyBytes.subarray(6, 6 + key.length)).toEqual(key)
  })
})

describe('a message that expires', () => {
  test('goes to the dead-letter exchange without its expiration, which its history keeps', async () => {
    const [core, channel] = await open()
    channel.publish('', 'q', 'a', { properties: { expiration: '1500' } })
    core.clock.advance(1_499)
    expect(channel.counts('dead')?.ready).toBe(0)
    core.clock.advance(1)
    const message = take(channel, 'dead')
    expect(message.expires).toBe(false)
    expect(deathsOf(message)).toEqual([
      'original-expiration=S:1500 count=l:1 reason=S:expired queue=S:q time=T:1 exchange=S: routing-keys=A:q',
    ])
  })

  test('again elsewhere, has the latest event first', async () => {
    const [core, channel] = await open({ ...toDead, 'x-message-ttl': 10, 'x-dead-letter-routing-key': 'second' })
    channel.declareQueue('second', { arguments: { ...toDead, 'x-message-ttl': 10 } })
    channel.publish('', 'q', 'a')
    core.clock.advance(100)
    const message = take(channel, 'dead')
    expect(deathsOf(message).map((event) => /queue=S:(\w+)/.exec(event)?.[1])).toEqual(['second', 'q'])
    expect(headersOf(message).get('x-first-death-queue')?.value).toBe('q')
    expect(headersOf(message).get('x-last-death-queue')?.value).toBe('second')
  })

  test('does not go round: a queue it was in gets it only if somebody rejected it since', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 10, 'x-dead-letter-exchange': 'graves' })
    channel.declareExchange('graves', 'fanout')
    channel.bind('q', 'graves')
    channel.bind('dead', 'graves')
    channel.publish('', 'q', 'a')
    core.clock.advance(100)
    expect([channel.counts('q')?.ready, channel.drain('dead')]).toEqual([0, ['a']])
    channel.publish('', 'q', 'b')
    reject(channel, 'q')
    expect(channel.counts('q')?.ready).toBe(1)
    // What the cycle left out of the routes is there for others.
    channel.publish('graves', '', 'c')
    expect(channel.counts('q')?.ready).toBe(2)
  })

  test('is counted, and never handed to anybody while many go at once', async () => {
    const [core, channel] = await open({ ...toDead, 'x-message-ttl': 10 })
    for (let count = 0; count < 1_000; count++) channel.post('', 'q', String(count))
    core.clock.advance(100)
    expect(channel.counts('dead')?.ready).toBe(1_000)
    const reply = channel.ask({ type: 'leveret.queues' })
    const queues = reply.type === 'leveret.queues-ok' ? reply.queues : []
    const { counters } = queues.find(({ name }) => name === 'q') ?? { counters: null }
    expect([counters?.expired, counters?.deadLettered, counters?.settled]).toEqual([1_000, 1_000, 0])
  })
})

describe('the arguments of a queue', () => {
  test.each([
    [{ 'x-dead-letter-exchange': 1 }, `invalid type 'long' for arg 'x-dead-letter-exchange' in queue 'd' in vhost '/'`],
    [
      { 'x-dead-letter-exchange': 1, 'x-max-priority': 1000 },
      `invalid type 'long' for arg 'x-dead-letter-exchange' in queue 'd' in vhost '/'`,
    ],
    [
      { 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': 1 },
      `invalid arg 'x-dead-letter-routing-key' for queue 'd' in vhost '/': {unacceptable_type,long}`,
    ],
    [
      { 'x-dead-letter-routing-key': 'k' },
      `invalid arg 'x-dead-letter-routing-key' for queue 'd' in vhost '/': routing_key_but_no_dlx_defined`,
    ],
    [
      { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'ü'.repeat(128) },
      `invalid arg 'x-dead-letter-routing-key' for queue 'd' in vhost '/': it has 256 bytes, at most 255 fit`,
    ],
  ])('are refused if they are %j', async (table, text) => {
    const [, channel] = await open()
    expect(channel.refusal(declareQueue('d', { arguments: table }))).toBe(`PRECONDITION_FAILED - ${text}`)
  })
})

describe('with a log', () => {
  const count = 60
  const bodies = Array.from({ length: count }, (_, number) => `${number} ${'.'.repeat(400)}`)

  async function fill(folder: SimFolder): Promise<Awaited<ReturnType<SimFolder['open']>>> {
    // Most of them are on disk alone.
    const run = await folder.open('/data', { windowBytesMax: 2_000 })
    run.channel.give(declareQueue('q', { durable: true, arguments: { ...toDead, 'x-message-ttl': 1_000 } }))
    run.channel.give(declareQueue('dead', { durable: true }))
    await run.settle()
    // They expire one group after the other.
    for (let at = 0; at < count; at += 6) await run.publish('q', ...bodies.slice(at, at + 6))
    return run
  }

  test('messages that are not in memory are read, and go in their order', async () => {
    const folder = new SimFolder()
    const run = await fill(folder)
    await run.settle(3_000)
    expect(await run.take('q')).toEqual([])
    expect(await run.take('dead')).toEqual(bodies)
    await run.close()
  })

  test('whenever the power goes, each is in exactly one of both queues', async () => {
    const folder = new SimFolder()
    const run = await fill(folder)
    let tried = 0
    let seen = 0
    const crash = async (seed: number): Promise<void> => {
      const after = new SimFolder(seed)
      const copy = folder.disk.clone(after.clock, seed)
      copy.crash()
      after.disk.restore(copy.snapshot())
      const recovered = await after.open('/data', { windowBytesMax: 2_000 })
      const [left, dead] = [await recovered.take('q'), await recovered.take('dead')]
      expect([...dead, ...left]).toEqual(bodies)
      if (left.length > 0 && dead.length > 0) seen++
      tried++
    }
    for (let ms = 0; ms < 3_000; ms++) {
      const { operations } = folder.disk
      await run.settle(1)
      if (ms > 500 && folder.disk.operations > operations) await crash(ms)
    }
    expect(tried).toBeGreaterThan(10)
    expect(seen).toBeGreaterThan(2)
  })
})
