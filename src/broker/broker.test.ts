// The whole: who may open a session, what its end takes with it, alarms, throttling, and a disk that fails.
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { entryOverheadBytes } from '../store/resident-memory.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, declareQueue, hostLogin, makeMessage, openCore } from '../testing/core-harness.ts'

const nobody = { blocked() {}, unblocked() {}, throttled() {}, resumed() {}, closed() {} }

describe('a login', () => {
  const remote = (user: string, password: string, remoteAddress: string) => ({
    ...hostLogin,
    credentials: { user, password },
    remoteAddress,
  })

  test.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('of guest is welcome from %s', async (address) => {
    const { broker } = await openCore()
    await broker.authenticate(remote('guest', 'guest', address))
    await broker.openSession(remote('guest', 'guest', address), nobody)
  })

  test.each(['192.0.2.1', '::ffff:192.0.2.1', '', '127.0.0.1.example', '2001:db8::1', '::'])(
    'of guest is refused from "%s"',
    async (address) => {
      const { broker } = await openCore()
      const text = "ACCESS_REFUSED - user 'guest' can only connect via localhost"
      await expect(broker.authenticate(remote('guest', 'guest', address))).rejects.toThrow(text)
      await expect(broker.openSession(remote('guest', 'guest', address), nobody)).rejects.toThrow(text)
    },
  )

  test('is refused with any other name or password, whose control characters go into no log', async () => {
    const { broker } = await openCore()
    await expect(broker.authenticate(remote('guest', 'Guest', '::1'))).rejects.toThrow('ACCESS_REFUSED')
    await expect(broker.authenticate(remote('a\nb', 'guest', '::1'))).rejects.toThrow("user 'a?b' is unknown")
  })

  test('needs a virtual host that is there', async () => {
    const { broker } = await openCore()
    await expect(broker.openSession({ ...hostLogin, virtualHost: 'other' }, nobody)).rejects.toThrow(
      'NOT_ALLOWED - vhost other not found',
    )
  })

  test('needs a broker that is open', async () => {
    const { broker } = await openCore()
    await broker.close()
    await broker.close()
    await expect(broker.authenticate(hostLogin)).rejects.toThrow('CONNECTION_FORCED')
    await expect(broker.openSession(hostLogin, nobody)).rejects.toThrow('CONNECTION_FORCED')
  })
})

describe('the end of a session', () => {
  test('gives back what its channels hold, and deletes its exclusive queues, before it resolves', async () => {
    const core = await openCore()
    const session = await core.session()
    const channel = session.channel()
    const other = await core.channel()
    channel.declareQueue('q')
    channel.declareQueue('mine', { exclusive: true })
    for (const body of ['1', '2']) channel.publish('', 'q', body)
    channel.consume('q', { tag: 'c' })
    session.channel().consume('mine', { tag: 'c' })
    await session.port.close()
    expect(other.has('mine')).toBe(false)
    expect(other.drain('q')).toEqual(['1!', '2!'])
    expect(session.lines).toEqual([])
  })

  test('ends consumers of others on its exclusive queues, of which there are none, and closes twice in peace', async () => {
    const core = await openCore()
    const session = await core.session()
    session.channel().declareQueue('mine', { exclusive: true, autoDelete: true })
    const channel = session.channel()
    channel.consume('mine', { tag: 'c' })
    await session.close()
    await session.close()
    expect(channel.takeLines()).toEqual(['1 basic.consume-ok c'])
  })

  test('leaves nothing to open a channel on', async () => {
    const core = await openCore()
    const session = await core.session()
    await session.close()
    expect(() => session.channel()).toThrow('CONNECTION_FORCED')
  })
})

describe('closing the broker', () => {
  test('ends every session and says why, gives back what is out, and closes the store', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    const channel = session.channel()
    channel.consume((channel.declareQueue('q') as { queue: string }).queue, { tag: 'c' })
    await core.broker.close()
    expect(session.lines).toEqual([
      "closed: CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    ])
    expect(store.isClosed).toBe(true)
    channel.publish('', 'q', 'x')
    expect(channel.deliveries).toEqual([])
  })
})

test('a broker that is being closed is closed once, and who asks again waits with the first', async () => {
  let release = (): void => {}
  const store = new ControlledStore()
  let closes = 0
  store.close = () => {
    closes++
    return new Promise((resolve) => {
      release = resolve
    })
  }
  const core = await openCore({ store })
  const order: string[] = []
  const first = core.broker.close().then(() => order.push('first'))
  const second = core.broker.close().then(() => order.push('second'))
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  order.push('released')
  release()
  await Promise.all([first, second])
  expect(order).toEqual(['released', 'first', 'second'])
  expect(closes).toBe(1)
})

describe('the memory alarm', () => {
  const messageBytes = 100 + 2 + entryOverheadBytes
  const body = 'x'.repeat(100)

  async function full(): Promise<Core> {
    const core = await openCore({ memoryBytesMax: 10 * messageBytes })
    const channel = await core.channel()
    channel.declareQueue('q')
    return core
  }

  test('blocks every session above the limit, and unblocks below nine tenths of it', async () => {
    const core = await full()
    const publisher = await core.session()
    const reader = await core.session()
    const channel = publisher.channel()
    for (let number = 0; number < 10; number++) channel.publish('', 'q', body)
    expect(core.broker.residentBytes).toBe(10 * messageBytes)
    expect(publisher.lines).toEqual([])
    channel.publish('', 'q', body)
    expect([publisher.lines, reader.lines]).toEqual([['blocked low on memory'], ['blocked low on memory']])
    const late = await core.session()
    expect(late.lines).toEqual(['blocked low on memory'])
    const other = reader.channel()
    other.get('q', true)
    other.get('q', false)
    expect(publisher.lines).toHaveLength(1)
    other.ack(2)
    for (const session of [publisher, reader, late])
      expect(session.lines).toEqual(['blocked low on memory', 'unblocked'])
    expect(core.broker.residentBytes).toBe(9 * messageBytes)
  })

  test('blocks again when memory is short again', async () => {
    const core = await full()
    const session = await core.session()
    const channel = session.channel()
    for (let round = 0; round < 2; round++) {
      for (let number = 0; number < 11; number++) channel.publish('', 'q', body)
      channel.ask({ type: 'queue.purge', queue: 'q' })
    }
    expect(session.lines).toEqual(['blocked low on memory', 'unblocked', 'blocked low on memory', 'unblocked'])
    expect(core.broker.residentBytes).toBe(0)
  })

  test('ends when the session whose exclusive queue held it all goes away, and nobody else does anything', async () => {
    const core = await full()
    const publisher = await core.session()
    const hog = await core.session()
    hog.channel().declareQueue('hog', { exclusive: true })
    const channel = publisher.channel()
    for (let number = 0; number < 11; number++) channel.publish('', 'hog', body)
    await hog.close()
    expect(publisher.lines).toEqual(['blocked low on memory', 'unblocked'])
  })

  test('counts what consumers hold, and nothing twice', async () => {
    const core = await full()
    const channel = await core.channel()
    for (let number = 0; number < 4; number++) channel.publish('', 'q', body)
    channel.consume('q', { tag: 'c' })
    channel.reject(1, true)
    channel.reject(2, false)
    expect(core.broker.residentBytes).toBe(3 * messageBytes)
    channel.deleteQueue('q')
    expect(core.broker.residentBytes).toBe(3 * messageBytes)
    channel.ack(3)
    channel.reject(4, true)
    channel.ack(5)
    expect(core.broker.residentBytes).toBe(0)
  })
})

describe('a disk that takes no writes', () => {
  test('blocks publishers until it does again', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    store.stall()
    store.resume()
    expect(session.lines).toEqual(['blocked low on disk', 'unblocked'])
  })

  test('or has little room left, blocks them as long as either is so', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    store.lowOnDisk(true)
    store.stall()
    store.lowOnDisk(false)
    expect(session.lines).toEqual(['blocked low on disk'])
    store.resume()
    expect(session.lines).toEqual(['blocked low on disk', 'unblocked'])
  })
})

describe('a publisher faster than the disk', () => {
  test('is throttled when too much is unsynced, it alone, and resumed when enough is on disk', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const fast = await core.session()
    const idle = await core.session()
    const channel = fast.channel()
    channel.give(declareQueue('q', { durable: true }))
    core.settle()
    store.sync()
    const message = makeMessage('', 'q', 'x'.repeat(1_000_000), { persistent: true })
    const count = Math.ceil(limits.unsyncedBytesMax / 1_000_000)
    for (let number = 0; number < count + 2; number++) channel.port.publish(message, false)
    expect([fast.lines, idle.lines]).toEqual([['throttled'], []])
    core.settle()
    expect(fast.lines).toEqual(['throttled'])
    store.sync()
    expect(fast.lines).toEqual(['throttled', 'resumed'])
    for (let number = 0; number < count + 2; number++) channel.port.publish(message, false)
    expect(fast.lines).toEqual(['throttled', 'resumed', 'throttled'])
    await fast.close()
    store.sync()
    expect(fast.lines).toHaveLength(3)
  })
})

describe('a storage failure', () => {
  test('closes every session, tells who listens, and confirms nothing afterwards', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    const channel = session.channel()
    channel.give(declareQueue('q', { durable: true }))
    core.settle()
    store.sync()
    channel.ask({ type: 'confirm.select' })
    channel.publish('', 'q', '1', { persistent: true })
    channel.give(declareQueue('r', { durable: true }))
    core.settle()
    channel.takeLines()
    const failures: string[] = []
    core.broker.onFailure((error) => failures.push(`${error.code} once`))
    store.fail()
    store.fail()
    core.broker.onFailure((error) => failures.push(`${error.code} late`))
    expect(session.lines).toEqual([
      'closed: INTERNAL_ERROR - the storage failed; outcomes not yet confirmed are unknown',
    ])
    expect(failures).toEqual(['E_STORAGE_FAILED once', 'E_STORAGE_FAILED late'])
    channel.publish('', 'q', '2', { persistent: true })
    store.sync()
    core.settle()
    expect(channel.takeLines()).toEqual([])
    await expect(core.broker.openSession(hostLogin, nobody)).rejects.toThrow('INTERNAL_ERROR')
  })

  test('is what close rejects with, after it has let the store go', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    store.fail()
    await expect(core.broker.close()).rejects.toThrow('E_STORAGE_FAILED')
    expect(store.isClosed).toBe(true)
  })

  test('closes every session even if one of them was the last consumer of a durable auto-delete queue', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    const other = await core.session()
    const channel = session.channel()
    channel.give(declareQueue('q', { durable: true, autoDelete: true }))
    core.settle()
    store.sync()
    channel.consume('q')
    store.fail()
    expect([session.lines.length, other.lines.length]).toEqual([1, 1])
  })
})
