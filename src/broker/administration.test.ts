// What administrators make: virtual hosts, users, limits, parameters; and that all of it is there after a restart.
import { describe, expect, test } from 'vitest'
import type { AdminCommand } from '../model/administration.ts'
import { loadPatternEngine } from '../pattern-engine.ts'
import { type Core, type CoreChannel, CoreSession, declareQueue, hostLogin, openCore } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const everything = { configure: '.*', write: '.*', read: '.*' }
const user = (name: string): AdminCommand => {
  return { type: 'leveret.put-user', user: name, passwordHash: '', hashing: 'sha256', tags: [] }
}
const host = (virtualHost: string): AdminCommand => ({ type: 'leveret.put-virtual-host', virtualHost, metadata: {} })
const permission = (name: string, virtualHost: string): AdminCommand => {
  return { type: 'leveret.put-permission', user: name, virtualHost, ...everything }
}

async function open(...commands: readonly AdminCommand[]): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  for (const command of commands) channel.ask(command)
  return [core, channel]
}

describe('a virtual host', () => {
  test('has queues and exchanges of its own', async () => {
    const [core, channel] = await open(host('h'), user('u'), permission('u', 'h'))
    const other = await core.channelOf('u', 'h')
    channel.declareQueue('q')
    other.declareQueue('q')
    other.declareExchange('x', 'fanout')
    other.bind('q', 'x')
    other.publish('x', '', 'there')
    expect(other.getBody('q')).toBe('there')
    expect(channel.getBody('q')).toBeNull()
    expect(channel.refusal({ type: 'exchange.delete', exchange: 'x', ifUnused: true })).toBe('')
    other.publish('x', '', 'still there')
    expect(other.error).toBeNull()
  })

  test('is closed to whoever has no permission there, also where he may do nothing', async () => {
    const [core, channel] = await open(host('h'), user('u'))
    const text = "NOT_ALLOWED - access to vhost 'h' refused for user 'u'"
    await expect(core.channelOf('u', 'h')).rejects.toThrow(text)
    channel.ask({ type: 'leveret.put-permission', user: 'u', virtualHost: 'h', configure: '', write: '', read: '' })
    await core.channelOf('u', 'h')
    channel.ask({ type: 'leveret.delete-permission', user: 'u', virtualHost: 'h' })
    await expect(core.channelOf('u', 'h')).rejects.toThrow(text)
  })

  test('goes with all that is in it, and ends its connections', async () => {
    const [core, channel] = await open(host('h'), user('u'), permission('u', 'h'))
    const session = await core.session({ user: 'u', password: null }, 'h')
    const other = session.channel()
    other.declareQueue('q')
    other.declareExchange('x', 'topic')
    other.bind('q', 'x', '#')
    const here = await core.session({ user: 'guest', password: 'guest' })
    channel.ask({ type: 'leveret.delete-virtual-host', virtualHost: 'h' })
    expect(session.lines).toEqual(["closed: CONNECTION_FORCED - vhost 'h' is deleted"])
    expect(here.lines).toEqual([])
    await expect(core.channelOf('u', 'h')).rejects.toThrow('NOT_ALLOWED - vhost h not found')
    channel.ask(host('h'))
    await expect(core.channelOf('u', 'h')).rejects.toThrow('refused for user')
    channel.ask(permission('u', 'h'))
    const again = await core.channelOf('u', 'h')
    expect(again.has('q')).toBe(false)
    expect(again.refusal({ type: 'queue.purge', queue: 'q' })).toContain('NOT_FOUND')
  })

  test('that is not there cannot be deleted, and one without a name not be made', async () => {
    const [core, channel] = await open()
    expect(channel.refusal({ type: 'leveret.delete-virtual-host', virtualHost: 'h' })).toBe(
      "NOT_FOUND - vhost 'h' not found",
    )
    expect((await core.channel()).refusal(host(''))).toContain('the name of a virtual host has 1 to 255 bytes, not 0')
  })

  test('has at most as many queues and connections as its limits say', async () => {
    const [core, channel] = await open(host('h'), user('u'), permission('u', 'h'))
    const limits = { 'max-queues': 1, 'max-connections': 2 }
    channel.ask({ type: 'leveret.put-virtual-host-limits', virtualHost: 'h', limits })
    const one = await core.channelOf('u', 'h')
    one.declareQueue('q')
    one.declareQueue('q')
    expect(one.refusal(declareQueue('r'))).toBe(
      "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost 'h' (1) is reached",
    )
    await core.channelOf('u', 'h')
    await expect(core.channelOf('u', 'h')).rejects.toThrow(
      "NOT_ALLOWED - access to vhost 'h' refused for user 'u': connection limit (2) is reached",
    )
    channel.ask({ type: 'leveret.put-virtual-host-limits', virtualHost: 'h', limits: { 'max-connections': -1 } })
    ;(await core.channelOf('u', 'h')).declareQueue('r')
  })
})

describe('a user', () => {
  test('who is deleted is gone at once', async () => {
    const [core, channel] = await open(user('u'), permission('u', '/'))
    const session = await core.session({ user: 'u', password: null })
    channel.ask({ type: 'leveret.delete-user', user: 'u' })
    expect(session.lines).toEqual(["closed: CONNECTION_FORCED - user 'u' is deleted"])
    await expect(core.channelOf('u')).rejects.toThrow("ACCESS_REFUSED - user 'u' is unknown")
    channel.ask(user('u'))
    await expect(core.channelOf('u')).rejects.toThrow('NOT_ALLOWED')
  })

  test('keeps his password when only his tags change', async () => {
    const [core, channel] = await open()
    channel.ask({
      type: 'leveret.put-user',
      user: 'guest',
      passwordHash: null,
      hashing: 'scrypt',
      tags: ['monitoring'],
    })
    const session = await core.session({ user: 'guest', password: 'guest' })
    expect(session.channel().refusal(host('h'))).toContain('ACCESS_REFUSED')
    const refused = channel.refusal({ ...user('new'), passwordHash: null } as AdminCommand)
    expect(refused).toBe("PRECONDITION_FAILED - the user 'new' is new and needs a password")
  })

  test('has at most as many connections and channels as his limits say', async () => {
    const [core, channel] = await open(user('u'), permission('u', '/'))
    channel.ask({ type: 'leveret.put-user-limits', user: 'u', limits: { 'max-connections': 2, 'max-channels': 3 } })
    const one = await core.session({ user: 'u', password: null })
    const two = await core.session({ user: 'u', password: null })
    await expect(core.channelOf('u')).rejects.toThrow(
      "NOT_ALLOWED - connection refused for user 'u': user connection limit (2) is reached",
    )
    one.channel()
    one.channel()
    const third = two.channel()
    const text =
      "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (3)"
    expect(() => two.channel()).toThrow(text)
    third.close()
    two.channel()
  })

  test.each([
    [{ type: 'leveret.put-permission', user: 'nobody', virtualHost: '/', ...everything }, "NOT_FOUND - user 'nobody'"],
    [{ type: 'leveret.put-permission', user: 'guest', virtualHost: 'h', ...everything }, "NOT_FOUND - vhost 'h'"],
    [{ type: 'leveret.delete-user', user: 'nobody' }, "NOT_FOUND - user 'nobody'"],
    [{ type: 'leveret.put-user-limits', user: 'guest', limits: { colour: 1 } }, "'colour' is no limit"],
    [{ type: 'leveret.put-user-limits', user: 'guest', limits: { 'max-channels': 1.5 } }, 'has to be an integer'],
    [{ type: 'leveret.delete-parameter', virtualHost: '/', component: 'c', name: 'n' }, "NOT_FOUND - parameter 'n'"],
    [
      { type: 'leveret.put-parameter', virtualHost: '/', component: 'policy', name: 'n', value: {} },
      "a parameter of component 'policy' has its own command",
    ],
    [
      { type: 'leveret.put-permission', user: 'guest', virtualHost: '/', ...everything, read: 'x'.repeat(257) },
      'a pattern has 257 characters, at most 256 are allowed',
    ],
    [
      { type: 'leveret.put-permission', user: 'guest', virtualHost: '/', ...everything, read: '^(a|b)' },
      "the pattern '^(a|b)' needs a pattern engine, and there is none",
    ],
  ] as [AdminCommand, string][])('command that makes no sense changes nothing: %j', async (command, text) => {
    const [core, channel] = await open()
    const before = (await core.channel()).ask({
      type: 'leveret.export-definitions',
      virtualHost: null,
      withHashes: true,
    })
    expect(channel.refusal(command)).toContain(text)
    const after = (await core.channel()).ask({
      type: 'leveret.export-definitions',
      virtualHost: null,
      withHashes: true,
    })
    expect(after).toEqual(before)
  })
})

test('a pattern that is no regular expression is refused, after the answers before it, and nothing behind it is answered', async () => {
  const core = await openCore({ loadPatternEngine })
  const channel = await core.channel()
  channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
  channel.give({ type: 'leveret.put-permission', user: 'guest', virtualHost: '/', ...everything, read: '(' })
  channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
  while (channel.error === null) {
    await new Promise((resolve) => setImmediate(resolve))
    core.settle()
  }
  const [first, second, ...others] = channel.takeLines()
  expect(first).toBe('1 ok')
  expect(second).toContain("2 failed: PRECONDITION_FAILED - the pattern '(' is no regular expression: ")
  expect(others).toEqual([])
})

describe('after a restart', () => {
  const limits = { 'max-queues': 7 }
  const policy = { virtualHost: 'h', name: 'p', operator: false, pattern: '^q', applyTo: 'all', priority: 3 }
  const commands: readonly AdminCommand[] = [
    { type: 'leveret.put-virtual-host', virtualHost: 'h', metadata: { description: 'tests' } },
    { type: 'leveret.put-virtual-host', virtualHost: '/', metadata: { tags: ['default'] } },
    { type: 'leveret.put-user', user: 'u', passwordHash: 'hash', hashing: 'sha512', tags: ['management'] },
    { type: 'leveret.put-permission', user: 'u', virtualHost: 'h', configure: '^a', write: '^b', read: '^c' },
    { type: 'leveret.put-topic-permission', user: 'u', virtualHost: 'h', exchange: 'amq.topic', write: 'w', read: 'r' },
    { type: 'leveret.put-user-limits', user: 'u', limits: { 'max-channels': 5 } },
    { type: 'leveret.put-virtual-host-limits', virtualHost: 'h', limits },
    { type: 'leveret.put-policy', ...policy, definition: { 'max-length': 10 } },
    { type: 'leveret.put-policy', ...policy, operator: true, definition: { expires: 1 } },
    { type: 'leveret.put-parameter', virtualHost: 'h', component: 'c', name: 'n', value: [1, 'two', null] },
    { type: 'leveret.put-parameter', virtualHost: null, component: 'global', name: 'cluster', value: 'burrow' },
    { type: 'leveret.put-virtual-host', virtualHost: 'gone', metadata: {} },
    { type: 'leveret.delete-virtual-host', virtualHost: 'gone' },
    { type: 'leveret.put-user', user: 'gone', passwordHash: '', hashing: 'sha256', tags: [] },
    { type: 'leveret.delete-user', user: 'gone' },
  ]
  const farewell: readonly AdminCommand[] = [{ type: 'leveret.delete-user', user: 'guest' }]
  const noPermission: readonly AdminCommand[] = [{ type: 'leveret.delete-permission', user: 'guest', virtualHost: '/' }]

  async function exported(run: SimFolderRun): Promise<unknown> {
    const id = run.channel.give({ type: 'leveret.export-definitions', virtualHost: null, withHashes: true })
    await run.settle()
    return run.channel.replies.get(id)
  }

  test.each([
    ['what was made', commands],
    ['that guest was deleted', farewell],
    ['that guest may do nothing', noPermission],
    ['nothing', []],
  ])('%s is there again, from the log and from a checkpoint', async (_what, given) => {
    const folder = new SimFolder()
    const run = await folder.open()
    for (const command of given) run.channel.give(command)
    await run.settle()
    expect(run.channel.error).toBeNull()
    const before = await exported(run)
    folder.kill(true)
    const fromLog = await folder.open()
    expect(await exported(fromLog)).toEqual(before)
    // Closing makes a checkpoint.
    await fromLog.close()
    const fromCheckpoint = await folder.open()
    expect(await exported(fromCheckpoint)).toEqual(before)
    await fromCheckpoint.close()
  })

  test('a broker that was told nothing remembers nothing of guest', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    await run.declare('q')
    await run.close()
    const files = Object.values(folder.contents()).map((text) => Buffer.from(text, 'base64').toString('latin1'))
    expect(files.some((text) => text.includes('guest'))).toBe(false)
  })

  test('queues of other virtual hosts have their messages, and those of a deleted one are gone', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    run.channel.give(host('h'))
    run.channel.give(user('u'))
    run.channel.give(permission('u', 'h'))
    await run.settle()
    const there = await openThere(run, 'h')
    there.give(declareQueue('q', { durable: true }))
    there.post('', 'q', 'kept', { persistent: true })
    await run.settle()
    folder.kill(true)
    const again = await folder.open()
    const channel = await openThere(again, 'h')
    const id = channel.give({ type: 'basic.get', queue: 'q', noAck: true })
    await again.settle()
    expect(channel.replies.get(id)).toMatchObject({ type: 'basic.get-ok' })
    again.channel.give({ type: 'leveret.delete-virtual-host', virtualHost: 'h' })
    await again.settle()
    folder.kill(true)
    const last = await folder.open()
    await expect(openThere(last, 'h')).rejects.toThrow('vhost h not found')
    await last.close()
  })
})

async function openThere(run: SimFolderRun, virtualHost: string): Promise<CoreChannel> {
  const session = new CoreSession({ settle() {} })
  const login = { ...hostLogin, virtualHost, credentials: { user: 'u', password: null }, remoteAddress: '127.0.0.1' }
  session.port = await run.broker.openSession(login, session)
  return session.channel()
}

test('a channel that fails while it waits for what administrators need is told so', async () => {
  let loaded = (): void => {}
  const engine = await loadPatternEngine()
  const core = await openCore({ loadPatternEngine: () => new Promise((resolve) => (loaded = () => resolve(engine))) })
  const channel = await core.channel()
  const rights = { configure: '^(a|b)+x$', write: '', read: '' }
  channel.give({ type: 'leveret.put-permission', user: 'guest', virtualHost: '/', ...rights })
  channel.give({ type: 'queue.purge', queue: 'missing' })
  core.settle()
  expect(channel.error).toBeNull()
  loaded()
  await new Promise((resolve) => setImmediate(resolve))
  core.settle()
  expect(channel.error).toMatchObject({ code: 'NOT_FOUND' })
})
