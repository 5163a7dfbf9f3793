// Which rights each operation takes: for every operation and every set of rights it is refused, or it is not.
import { beforeAll, describe, expect, test } from 'vitest'
import type { AdminCommand } from '../model/administration.ts'
import type { Command } from '../model/command.ts'
import { loadPatternEngine } from '../pattern-engine.ts'
import {
  bindCommand,
  type Core,
  type CoreChannel,
  consume,
  declareExchange,
  declareQueue,
  openCore,
} from '../testing/core-harness.ts'

type Right = 'configure' | 'write' | 'read'
const rights: readonly Right[] = ['configure', 'write', 'read']

interface Case {
  readonly operation: string
  readonly ask: Command | ((channel: CoreChannel) => void)
  /** All of these, as `right name`. */
  readonly needs: readonly string[]
  /** Any one of the three rights to it is enough. */
  readonly anyOf?: string
}

const deadLetter = { arguments: { 'x-dead-letter-exchange': 'd' } }
const gathers = { arguments: { 'x-leveret-gather': 2, 'x-leveret-gather-to': 'q' } }
const alternate = { arguments: { 'alternate-exchange': 'd' } }
const publish = (exchange: string) => (channel: CoreChannel) => void channel.publish(exchange, 'key', 'body')
const commit = (channel: CoreChannel): void => {
  channel.ask({ type: 'tx.select' })
  channel.publish('x', 'key', 'body')
  channel.give({ type: 'tx.commit' })
}
const putSchedule: Command = {
  type: 'leveret.schedule-put',
  name: 's',
  everyMs: 3_600_000,
  timezone: 'UTC',
  missed: 'once',
  exchange: 'x',
  routingKey: 'key',
  mandatory: false,
  properties: {},
  body: '',
}

const cases: readonly Case[] = [
  { operation: 'exchange.declare', ask: declareExchange('x', 'direct'), needs: ['configure x'] },
  { operation: 'exchange.declare of a new one', ask: declareExchange('n', 'direct'), needs: ['configure n'] },
  {
    operation: 'exchange.declare with an alternate exchange',
    ask: declareExchange('n', 'direct', alternate),
    needs: ['configure n', 'read n', 'write d'],
  },
  { operation: 'exchange.declare, passive', ask: declareExchange('x', '', { passive: true }), needs: [], anyOf: 'x' },
  {
    operation: 'exchange.delete',
    ask: { type: 'exchange.delete', exchange: 'x', ifUnused: false },
    needs: ['configure x'],
  },
  { operation: 'exchange.bind', ask: bindCommand('exchange.bind', 'd', 'x', 'key'), needs: ['write d', 'read x'] },
  { operation: 'exchange.unbind', ask: bindCommand('exchange.unbind', 'd', 'x', 'key'), needs: ['write d', 'read x'] },
  { operation: 'queue.declare', ask: declareQueue('q'), needs: ['configure q'] },
  { operation: 'queue.declare of a new one', ask: declareQueue('n'), needs: ['configure n'] },
  {
    operation: 'queue.declare with a dead-letter exchange',
    ask: declareQueue('n', deadLetter),
    needs: ['configure n', 'read n', 'write d'],
  },
  {
    operation: 'queue.declare of one that gathers answers',
    ask: declareQueue('n', gathers),
    needs: ['configure n', 'read n', 'write amq.default'],
  },
  { operation: 'queue.declare, passive', ask: declareQueue('q', { passive: true }), needs: [], anyOf: 'q' },
  {
    operation: 'queue.delete',
    ask: { type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false },
    needs: ['configure q'],
  },
  { operation: 'queue.bind', ask: bindCommand('queue.bind', 'q', 'x', 'key'), needs: ['write q', 'read x'] },
  { operation: 'queue.unbind', ask: bindCommand('queue.unbind', 'q', 'x', 'key'), needs: ['write q', 'read x'] },
  { operation: 'queue.purge', ask: { type: 'queue.purge', queue: 'q' }, needs: ['read q'] },
  { operation: 'basic.get', ask: { type: 'basic.get', queue: 'q', noAck: true }, needs: ['read q'] },
  { operation: 'basic.consume', ask: consume('q'), needs: ['read q'] },
  { operation: 'basic.publish', ask: publish('x'), needs: ['write x'] },
  { operation: 'basic.publish in a transaction', ask: commit, needs: ['write x'] },
  { operation: 'basic.publish to the default exchange', ask: publish(''), needs: ['write amq.default'] },
  {
    operation: 'asking leveret.control',
    ask: publish('leveret.control'),
    needs: ['write leveret.control', 'write amq.default'],
  },
  { operation: 'basic.qos', ask: { type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false }, needs: [] },
  { operation: 'basic.cancel', ask: { type: 'basic.cancel', consumerTag: 'none' }, needs: [] },
  { operation: 'basic.recover', ask: { type: 'basic.recover', requeue: true }, needs: [] },
  { operation: 'confirm.select', ask: { type: 'confirm.select' }, needs: [] },
  { operation: 'tx.select', ask: { type: 'tx.select' }, needs: [] },
  { operation: 'leveret.queues', ask: { type: 'leveret.queues' }, needs: [] },
  {
    operation: 'leveret.peek',
    ask: { type: 'leveret.peek', queue: 'q', limit: 1, state: 'ready' },
    needs: ['read q'],
  },
  { operation: 'leveret.cancel', ask: { type: 'leveret.cancel', queue: 'q', messageId: 'm' }, needs: ['read q'] },
  { operation: 'leveret.schedule-put', ask: putSchedule, needs: ['configure s', 'write x'] },
  {
    operation: 'leveret.schedule-run',
    ask: { type: 'leveret.schedule-run', name: 's' },
    needs: ['configure s', 'write x'],
  },
  {
    operation: 'leveret.schedule-pause',
    ask: { type: 'leveret.schedule-pause', name: 's', paused: false },
    needs: ['configure s'],
  },
  {
    operation: 'leveret.schedule-remove',
    ask: { type: 'leveret.schedule-remove', name: 's' },
    needs: ['configure s'],
  },
  { operation: 'leveret.schedule-list', ask: { type: 'leveret.schedule-list' }, needs: [] },
  { operation: 'leveret.pause', ask: { type: 'leveret.pause', queue: 'q', paused: false }, needs: ['configure q'] },
]

function namesOf({ needs, anyOf }: Case): string[] {
  const names = [...needs.map((need) => need.slice(need.indexOf(' ') + 1)), anyOf ?? 'q']
  return [...new Set(names)]
}

/** Every set of rights to those names, with and without all rights to another. */
function* subsets(names: readonly string[]): Generator<ReadonlySet<string>> {
  const of = (name: string): string[] => rights.map((right) => `${right} ${name}`)
  const all = [...names.flatMap(of).map((one) => [one]), of('other')]
  for (let bits = 0; bits < 2 ** all.length; bits++) {
    yield new Set(all.filter((_one, at) => (bits & (1 << at)) !== 0).flat())
  }
}

function patternOf(given: ReadonlySet<string>, right: Right): string {
  const names = [...given].filter((one) => one.startsWith(`${right} `)).map((one) => one.slice(right.length + 1))
  return names.length === 0 ? '' : `^(${names.join('|')})$`.replaceAll('.', String.raw`\.`)
}

let core: Core
let host: CoreChannel

beforeAll(async () => {
  const engine = await loadPatternEngine()
  core = await openCore({ loadPatternEngine: async () => engine })
  host = await core.channel()
  await administer({ type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256', tags: [] })
})

/** Waits for the pattern engine if the command needs it. */
async function administer(command: AdminCommand, by: CoreChannel = host): Promise<string> {
  const id = by.give(command)
  for (let turns = 0; turns < 100 && by.error === null && !by.replies.has(id); turns++) {
    await new Promise((resolve) => setImmediate(resolve))
    core.settle()
  }
  return by.error?.message ?? ''
}

function put(user: string, permission: Readonly<Record<Right, string>>): Promise<string> {
  return administer({ type: 'leveret.put-permission', user, virtualHost: '/', ...permission })
}

function prepare(): void {
  host.declareQueue('q')
  for (const name of ['x', 'd']) host.declareExchange(name, 'direct')
  host.deleteQueue('n')
  host.deleteExchange('n')
  host.ask(putSchedule)
}

describe('an operation succeeds with what it needs, and is refused with anything less', () => {
  test.each(cases)('$operation', async (one) => {
    for (const given of subsets(namesOf(one))) {
      prepare()
      const [configure, write, read] = rights.map((right) => patternOf(given, right)) as [string, string, string]
      await put('u', { configure, write, read })
      const session = await core.session({ user: 'u', password: null })
      const channel = session.channel()
      if (typeof one.ask === 'function') one.ask(channel)
      else channel.give(one.ask)
      core.settle()
      const { anyOf } = one
      const mayAny = anyOf === undefined || rights.some((right) => given.has(`${right} ${anyOf}`))
      const isAllowed = mayAny && one.needs.every((need) => given.has(need))
      const isRefused = channel.error?.code === 'ACCESS_REFUSED'
      expect(isRefused, `with ${[...given].join(', ')}: ${channel.error?.message ?? 'done'}`).toBe(!isAllowed)
      await session.close()
    }
  })

  test('a command that the table does not know is refused', async () => {
    await put('u', { configure: '.*', write: '.*', read: '.*' })
    const channel = await core.channelOf('u')
    expect(channel.refusal({ type: 'leveret.invented' } as unknown as Command)).toContain('ACCESS_REFUSED')
  })

  test('the host process may do all of it', async () => {
    for (const { ask } of cases) {
      prepare()
      const channel = await core.channel()
      if (typeof ask === 'function') ask(channel)
      else channel.give(ask)
      core.settle()
      expect(channel.error?.code).not.toBe('ACCESS_REFUSED')
    }
  })
})

describe('a refusal', () => {
  test.each([
    [declareQueue('a'), "configure access to queue 'a' in vhost '/' refused for user 'u'"],
    [{ type: 'queue.purge', queue: 'a' }, "read access to queue 'a' in vhost '/' refused for user 'u'"],
    [bindCommand('queue.bind', 'a', 'b', ''), "write access to queue 'a' in vhost '/' refused for user 'u'"],
    [bindCommand('exchange.bind', 'a', 'b', ''), "write access to exchange 'a' in vhost '/' refused for user 'u'"],
  ] as [Command, string][])('is told in the words of RabbitMQ: %j', async (command, text) => {
    await put('u', { configure: '', write: '', read: '' })
    expect((await core.channelOf('u')).refusal(command)).toBe(`ACCESS_REFUSED - ${text}`)
  })

  test('comes before anybody learns what is there', async () => {
    await put('u', { configure: '', write: '', read: '' })
    const channel = await core.channelOf('u')
    channel.publish('not there', '', 'body')
    const text = "write access to exchange 'not there' in vhost '/' refused for user 'u'"
    expect(channel.error?.text).toBe(text)
  })

  test('of the default exchange calls it amq.default', async () => {
    await put('u', { configure: '', write: '^$', read: '' })
    const channel = await core.channelOf('u')
    channel.publish('', 'q', 'body')
    expect(channel.error?.text).toBe("write access to exchange 'amq.default' in vhost '/' refused for user 'u'")
  })
})

describe('the name that a broker makes', () => {
  test('has to match as any other', async () => {
    await put('u', { configure: String.raw`^amq\.gen-[\w-]{22}$`, write: '', read: '' })
    expect((await core.channelOf('u')).declareQueue('')).toMatchObject({ queue: expect.stringMatching(/^amq\.gen-/) })
    await put('u', { configure: '^mine', write: '', read: '' })
    const refused = (await core.channelOf('u')).refusal(declareQueue(''))
    expect(refused).toMatch(/^ACCESS_REFUSED - configure access to queue 'amq\.gen-[\w-]{22}' in vhost/)
  })
})

describe('a change of permissions', () => {
  test('is felt by the next publish of a channel that is open', async () => {
    prepare()
    await put('u', { configure: '', write: '^x$', read: '' })
    const channel = await core.channelOf('u')
    channel.publish('x', 'key', '1')
    expect(channel.error).toBeNull()
    await put('u', { configure: '', write: '^y$', read: '' })
    channel.publish('x', 'key', '2')
    expect(channel.error?.code).toBe('ACCESS_REFUSED')
  })

  test('ends the consumers of queues that may not be read any more, and no others', async () => {
    prepare()
    host.declareQueue('mine')
    await put('u', { configure: '', write: '', read: '^(q|mine)$' })
    const channel = await core.channelOf('u')
    channel.consume('q', { tag: 'one' })
    channel.consume('mine', { tag: 'two' })
    channel.takeLines()
    await put('u', { configure: '', write: '', read: '^mine$' })
    expect(channel.takeLines()).toEqual(['cancel one'])
    host.publish('', 'mine', 'hello')
    expect(channel.takeBodies()).toEqual(['hello'])
    channel.close()
  })
})

describe('topic permissions', () => {
  const topic = (write: string, read: string): AdminCommand => {
    return { type: 'leveret.put-topic-permission', user: 'u', virtualHost: '/', exchange: 't', write, read }
  }

  beforeAll(async () => {
    host.declareExchange('t', 'topic')
    host.declareExchange('plain', 'direct')
    await put('u', { configure: '.*', write: '.*', read: '.*' })
    await administer(topic(String.raw`^{username}\.`, '^(public|{vhost})'))
  })

  const tried = async (exchange: string, routingKey: string): Promise<string> => {
    const channel = await core.channelOf('u')
    channel.publish(exchange, routingKey, 'body')
    return channel.error?.text ?? ''
  }

  test('say which keys may be published, with the name of the user in them', async () => {
    expect(await tried('t', 'u.created')).toBe('')
    const text = "write access to topic 'v.created' in exchange 't' in vhost '/' refused for user 'u'"
    expect(await tried('t', 'v.created')).toBe(text)
    expect(await tried('plain', 'v.created')).toBe('')
  })

  test('are asked for each key, also when the exchange is the same', async () => {
    const channel = await core.channelOf('u')
    channel.publish('t', 'u.1', 'body')
    channel.publish('t', 'u.2', 'body')
    channel.publish('t', 'u.1', 'body')
    expect(channel.error).toBeNull()
    channel.publish('t', 'w.1', 'body')
    expect(channel.error?.code).toBe('ACCESS_REFUSED')
  })

  test('say which keys may be bound', async () => {
    prepare()
    const channel = await core.channelOf('u')
    channel.bind('q', 't', 'public.#')
    channel.bind('q', 't', '/x')
    const text = "read access to topic '#' in exchange 't' in vhost '/' refused for user 'u'"
    expect(channel.refusal(bindCommand('queue.bind', 'q', 't', '#'))).toBe(`ACCESS_REFUSED - ${text}`)
  })

  test('take a name as it is, whatever it is made of', async () => {
    await administer({ type: 'leveret.put-user', user: 'a|.*', passwordHash: '', hashing: 'sha256', tags: [] })
    await put('a|.*', { configure: '', write: '.*', read: '' })
    await administer({ ...topic(String.raw`^{username}$`, ''), user: 'a|.*' } as AdminCommand)
    const one = await core.channelOf('a|.*')
    one.publish('t', 'a|.*', 'body')
    expect(one.error).toBeNull()
    one.publish('t', 'anything', 'body')
    expect(one.error?.code).toBe('ACCESS_REFUSED')
  })

  test('that were taken back leave every key', async () => {
    await administer({ type: 'leveret.delete-topic-permission', user: 'u', virtualHost: '/', exchange: 't' })
    expect(await tried('t', 'v.created')).toBe('')
  })
})

test('leveret.queues tells a user of those queues alone that he may do something with', async () => {
  for (const name of ['one', 'two', 'three', 'four']) host.declareQueue(name)
  await put('u', { configure: '^one$', write: '^two$', read: '^three$' })
  const channel = await core.channelOf('u')
  const reply = channel.ask({ type: 'leveret.queues' })
  const names = reply.type === 'leveret.queues-ok' ? reply.queues.map(({ name }) => name) : []
  expect(names.sort()).toEqual(['one', 'three', 'two'])
})

describe('administration', () => {
  const user = 'x'
  const virtualHost = '/'
  const policy = { virtualHost, name: 'p', pattern: '', applyTo: 'all', priority: 0, definition: { 'max-length': 1 } }
  const administrators: readonly AdminCommand[] = [
    { type: 'leveret.put-virtual-host', virtualHost: 'h', metadata: {} },
    { type: 'leveret.put-virtual-host-limits', virtualHost: 'h', limits: { 'max-queues': 5 } },
    { type: 'leveret.delete-virtual-host', virtualHost: 'h' },
    { type: 'leveret.put-user', user, passwordHash: '', hashing: 'sha256', tags: [] },
    { type: 'leveret.put-user-limits', user, limits: { 'max-channels': 5 } },
    { type: 'leveret.put-permission', user, virtualHost, configure: '', write: '', read: '' },
    { type: 'leveret.delete-permission', user, virtualHost },
    { type: 'leveret.put-topic-permission', user, virtualHost, exchange: 't', write: '', read: '' },
    { type: 'leveret.delete-topic-permission', user, virtualHost, exchange: 't' },
    { type: 'leveret.delete-user', user },
    { type: 'leveret.put-policy', operator: true, ...policy },
    { type: 'leveret.delete-policy', operator: true, virtualHost, name: 'p' },
    { type: 'leveret.export-definitions', virtualHost: null, withHashes: true },
    { type: 'leveret.import-definitions', virtualHost: null, definitions: {} },
  ]
  const policymakers: readonly AdminCommand[] = [
    { type: 'leveret.put-policy', operator: false, ...policy },
    { type: 'leveret.delete-policy', operator: false, virtualHost, name: 'p' },
    { type: 'leveret.put-parameter', virtualHost, component: 'c', name: 'n', value: 1 },
    { type: 'leveret.delete-parameter', virtualHost, component: 'c', name: 'n' },
  ]

  const tagged = async (...tags: string[]): Promise<CoreChannel> => {
    await administer({ type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256', tags })
    return core.channelOf('u')
  }

  test('is for administrators, and of policies of their virtual host for policymakers, whatever else they may do', async () => {
    await put('u', { configure: '.*', write: '.*', read: '.*' })
    for (const [commands, asPolicymaker] of [
      [administrators, false],
      [policymakers, true],
    ] as const) {
      for (const command of commands) {
        const text = `ACCESS_REFUSED - the command '${command.type}' refused for user 'u'`
        expect(await administer(command, await tagged('management', 'monitoring', 'impersonator'))).toBe(text)
        if (!asPolicymaker) expect(await administer(command, await tagged('policymaker'))).toBe(text)
        else expect(await administer(command, await tagged('policymaker'))).toBe('')
      }
      for (const command of commands) expect(await administer(command, await tagged('administrator'))).toBe('')
    }
  })

  test('of policies elsewhere is not for a policymaker', async () => {
    await administer({ type: 'leveret.put-virtual-host', virtualHost: 'other', metadata: {} })
    const command: AdminCommand = { type: 'leveret.put-policy', operator: false, ...policy, virtualHost: 'other' }
    expect(await administer(command, await tagged('policymaker'))).toContain('ACCESS_REFUSED')
    const everywhere: AdminCommand = {
      type: 'leveret.put-parameter',
      virtualHost: null,
      component: 'global',
      name: 'n',
      value: 1,
    }
    expect(await administer(everywhere, await tagged('policymaker'))).toContain('ACCESS_REFUSED')
  })
})

test('a user-id that is not his own is for impersonators', async () => {
  await put('u', { configure: '.*', write: '.*', read: '.*' })
  for (const [tags, text] of [
    [[], "user_id property set to 'guest' but authenticated user was 'u'"],
    [['impersonator'], ''],
  ] as const) {
    await administer({ type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256', tags })
    const channel = await core.channelOf('u')
    channel.publish('', 'q', 'body', { properties: { userId: 'guest' } })
    expect(channel.error?.text ?? '').toBe(text)
  }
})

test('nothing is asked of patterns for a message whose exchange was the last one', async () => {
  let asked = 0
  const counting = await openCore({
    loadPatternEngine: async () => ({
      compile: (pattern) => ({
        matches: (text) => {
          asked++
          return new RegExp(pattern).test(text)
        },
      }),
    }),
  })
  core = counting
  host = await counting.channel()
  await administer({ type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256', tags: [] })
  await put('u', { configure: '', write: '^(x|d)$', read: '' })
  prepare()
  const channel = await counting.channelOf('u')
  for (let n = 0; n < 100; n++) channel.publish(n % 2 === 0 ? 'x' : 'd', 'key', 'body')
  expect(channel.error).toBeNull()
  expect(asked).toBe(2)
})
