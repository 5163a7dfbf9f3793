// definitions.json: what of RabbitMQ's is understood, that all of a file comes in or nothing, and that it comes out again.
import { describe, expect, test } from 'vitest'
import type { Json, JsonObject } from '../model/administration.ts'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

async function open(): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  return [core, await core.channel()]
}

/** The text of the refusal; empty if all came in. */
async function tryImport(core: Core, definitions: JsonObject, virtualHost: string | null = null): Promise<string> {
  return (await core.channel()).refusal({ type: 'leveret.import-definitions', virtualHost, definitions })
}

async function exported(core: Core, virtualHost: string | null = null, withHashes = true): Promise<JsonObject> {
  const reply = (await core.channel()).ask({ type: 'leveret.export-definitions', virtualHost, withHashes })
  return reply.type === 'leveret.definitions' ? reply.definitions : {}
}

/** As RabbitMQ 4 exports it. */
const definitions: JsonObject = {
  rabbit_version: '4.2.3',
  rabbitmq_version: '4.2.3',
  product_name: 'RabbitMQ',
  users: [
    {
      name: 'ops',
      password_hash: 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR',
      hashing_algorithm: 'rabbit_password_hashing_sha256',
      tags: ['administrator'],
      limits: {},
    },
    {
      name: 'app',
      password_hash: '',
      hashing_algorithm: 'rabbit_password_hashing_sha512',
      tags: [],
      limits: { 'max-channels': 9 },
    },
  ],
  vhosts: [
    {
      name: '/',
      description: 'Default virtual host',
      tags: [],
      metadata: { description: 'Default virtual host', tags: [] },
    },
    { name: 'h', limits: [], metadata: {}, default_queue_type: 'classic' },
  ],
  permissions: [{ user: 'app', vhost: 'h', configure: '^app', write: '.*', read: '' }],
  topic_permissions: [{ user: 'app', vhost: 'h', exchange: 'amq.topic', write: '^a', read: '^b' }],
  parameters: [
    { vhost: 'h', component: 'vhost-limits', name: 'limits', value: { 'max-queues': 20 } },
    {
      vhost: 'h',
      component: 'operator_policy',
      name: 'o',
      value: { pattern: '', 'apply-to': 'queues', definition: { expires: 900_000 }, priority: 0 },
    },
    { vhost: 'h', component: 'shovel', name: 's', value: { 'src-uri': 'amqp://' } },
  ],
  global_parameters: [{ name: 'cluster_name', value: 'rabbit@burrow' }],
  policies: [
    { vhost: 'h', name: 'p', pattern: '^q', 'apply-to': 'all', definition: { 'max-length': 10 }, priority: 2 },
  ],
  queues: [
    {
      name: 'q',
      vhost: 'h',
      durable: true,
      auto_delete: false,
      arguments: { 'x-max-priority': 5, own: [1, 'a', { b: true }] },
      type: 'classic',
    },
    { name: 'amq.gen-made-by-a-broker', vhost: 'h', durable: true, auto_delete: false, arguments: {} },
    { name: 'q', vhost: '/', durable: false, auto_delete: true, arguments: [] },
  ],
  exchanges: [
    { name: 'x', vhost: 'h', type: 'topic', durable: true, auto_delete: false, internal: false, arguments: {} },
    { name: 'y', vhost: 'h', type: 'headers', durable: true, auto_delete: true, internal: true, arguments: { a: 1.5 } },
    {
      name: 'amq.rabbitmq.trace',
      vhost: 'h',
      type: 'topic',
      durable: true,
      auto_delete: false,
      internal: true,
      arguments: {},
    },
  ],
  bindings: [
    { source: 'x', vhost: 'h', destination: 'q', destination_type: 'queue', routing_key: '#', arguments: {} },
    { source: 'x', vhost: 'h', destination: 'y', destination_type: 'exchange', routing_key: 'k', arguments: {} },
    {
      source: 'y',
      vhost: 'h',
      destination: 'q',
      destination_type: 'queue',
      routing_key: '',
      arguments: { 'x-match': 'any', n: 3 },
    },
    { source: '', vhost: 'h', destination: 'q', destination_type: 'queue', routing_key: 'q', arguments: {} },
  ],
}

function names(value: Json | undefined): string[] {
  return (value as readonly { readonly name: string; readonly vhost?: string }[]).map(({ name, vhost }) =>
    vhost === undefined ? name : `${vhost} ${name}`,
  )
}

describe('an import', () => {
  test('makes everything the file has, which works', async () => {
    const [core, host] = await open()
    expect(await tryImport(core, definitions)).toBe('')
    const channel = await core.channelOf('app', 'h')
    channel.publish('x', 'any', 'hello')
    expect(channel.error).toBeNull()
    expect(channel.refusal({ type: 'basic.get', queue: 'q', noAck: true })).toContain(
      "read access to queue 'q' in vhost 'h'",
    )
    expect(host.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 0 })
    expect(core.broker.policies.effective('h', 'classic', 'q')?.definition).toEqual({
      'max-length': 10,
      expires: 900_000,
    })
  })

  test('twice changes nothing, and leaves queues that are there with their messages', async () => {
    const [core, host] = await open()
    host.declareQueue('q', { durable: true })
    host.publish('', 'q', 'kept')
    await tryImport(core, definitions)
    const first = await exported(core)
    expect(await tryImport(core, definitions)).toBe('')
    expect(await exported(core)).toEqual(first)
    expect(host.getBody('q')).toBe('kept')
  })

  test('takes what older versions wrote: tags in one text, md5 without a name', async () => {
    const [core] = await open()
    const users = [{ name: 'old', password_hash: 'AAAAAAAA', tags: 'administrator,monitoring' }]
    expect(await tryImport(core, { rabbit_version: '3.5.7', users })).toBe('')
    const [, old] = (await exported(core))['users'] as readonly JsonObject[]
    expect(old).toMatchObject({
      tags: ['administrator', 'monitoring'],
      hashing_algorithm: 'rabbit_password_hashing_md5',
    })
    expect(await tryImport(core, { rabbit_version: '3.6.0', users })).toBe('')
    const [, newer] = (await exported(core))['users'] as readonly JsonObject[]
    expect(newer).toMatchObject({ hashing_algorithm: 'rabbit_password_hashing_sha256' })
  })

  test('takes objects that RabbitMQ 3 writes as lists of pairs', async () => {
    const [core] = await open()
    const value = { pattern: '', 'apply-to': 'all', definition: [['expires', 900_000]], priority: 0 }
    const file = {
      vhosts: [{ name: 'h', limits: [['max-queues', 20]], metadata: [] }],
      parameters: [{ vhost: 'h', component: 'operator_policy', name: 'o', value }],
      queues: [{ name: 'q', vhost: 'h', arguments: [] }],
    }
    expect(await tryImport(core, file as unknown as JsonObject)).toBe('')
    expect(core.broker.policies.effective('h', 'classic', 'q')?.definition).toEqual({ expires: 900_000 })
  })

  test('takes a password, and keeps a hash of it alone', async () => {
    const [core] = await open()
    const users = [{ name: 'new', password: 'secret', tags: '' }]
    const permissions = [{ user: 'new', vhost: '/', configure: '', write: '', read: '' }]
    expect(await tryImport(core, { users, permissions })).toBe('')
    expect(JSON.stringify(await exported(core))).not.toContain('secret')
    await core.session({ user: 'new', password: 'secret' })
    await expect(core.session({ user: 'new', password: 'other' })).rejects.toThrow('ACCESS_REFUSED')
  })

  test('knows a binding again whose integers somebody sent in another type', async () => {
    const [core, host] = await open()
    host.declareQueue('q')
    const table = new Map([
      ['n', { tag: 'b' as const, value: 3 }],
      ['a', { tag: 'S' as const, value: 'x' }],
    ])
    host.ask({ type: 'queue.bind', destination: 'q', exchange: 'amq.headers', routingKey: '', arguments: table })
    const before = await exported(core)
    expect(await tryImport(core, before)).toBe('')
    expect(await exported(core)).toEqual(before)
    expect((before['bindings'] as Json[]).length).toBe(1)
  })

  test('keeps integers integers', async () => {
    const [core, host] = await open()
    await tryImport(core, { queues: [{ name: 'q', vhost: '/', arguments: { 'x-max-priority': 5, own: 2 ** 40 } }] })
    const reply = host.ask({ type: 'leveret.queues' })
    const table = reply.type === 'leveret.queues-ok' ? reply.queues[0]?.arguments : []
    expect(table).toEqual([
      ['x-max-priority', { tag: 'l', value: 5 }],
      ['own', { tag: 'l', value: 2 ** 40 }],
    ])
  })
})

test('a file without passwords leaves those that are there, and gives new users none', async () => {
  const [core] = await open()
  const users = [
    { name: 'guest', tags: ['management'] },
    { name: 'new', tags: [] },
  ]
  const permissions = [{ user: 'new', vhost: '/', configure: '', write: '', read: '' }]
  expect(await tryImport(core, { users, permissions })).toBe('')
  await core.session({ user: 'guest', password: 'guest' })
  await expect(core.session({ user: 'new', password: '' })).rejects.toThrow('ACCESS_REFUSED')
})

describe('a file of one virtual host', () => {
  const queues = [{ name: 'q', durable: true, auto_delete: false, arguments: {} }]

  test('goes into the virtual host that is named', async () => {
    const [core] = await open()
    await tryImport(core, { vhosts: [{ name: 'h' }] })
    expect(
      await tryImport(core, { queues, policies: [{ name: 'p', pattern: '', definition: { expires: 1 } }] }, 'h'),
    ).toBe('')
    expect(names((await exported(core))['queues'])).toEqual(['h q'])
    const own = await exported(core, 'h')
    expect(Object.keys(own)).not.toContain('users')
    expect(own['queues']).toEqual([{ ...queues[0], type: 'classic' }])
    expect(own['policies']).toEqual([
      { name: 'p', pattern: '', 'apply-to': 'all', priority: 0, definition: { expires: 1 } },
    ])
  })

  test('is refused without one, and a file of a whole broker or of another virtual host with one', async () => {
    const [core] = await open()
    expect(await tryImport(core, { queues })).toContain('it names no vhost: these are definitions of one virtual host')
    expect(await tryImport(core, { users: [{ name: 'u', tags: [] }] }, '/')).toContain('have none of these')
    expect(await tryImport(core, { queues: [{ ...queues[0], vhost: 'h' } as JsonObject] }, '/')).toContain(
      "it is of vhost 'h'",
    )
    expect(await tryImport(core, { queues }, 'nowhere')).toContain("vhost 'nowhere' not found")
  })
})

describe('a file with a mistake', () => {
  const queue = { name: 'broken', vhost: '/', durable: true, auto_delete: false, arguments: {} }
  const wrong: readonly (readonly [string, JsonObject, string])[] = [
    ['a section', { queues: {} }, 'definitions: queues has to be a list'],
    ['an entry', { queues: ['q'] }, 'definitions: queues[0]: it has to be an object'],
    ['a name', { queues: [{ vhost: '/' }] }, "definitions: queues[0] of vhost '/': name is missing"],
    [
      'a flag',
      { queues: [{ ...queue, durable: 1 }] },
      "queues[0] 'broken' of vhost '/': durable has to be true or false",
    ],
    ['a vhost', { queues: [{ ...queue, vhost: 'h2' }] }, "queues[0] 'broken' of vhost 'h2': vhost 'h2' not found"],
    [
      'an argument',
      { queues: [{ ...queue, arguments: { 'x-max-priority': 'a' } }] },
      "queues[0] 'broken' of vhost '/': invalid arg",
    ],
    [
      'a type of exchange',
      { exchanges: [{ name: 'e', vhost: '/', type: 'odd' }] },
      "exchanges[0] 'e' of vhost '/': unknown exchange type 'odd'",
    ],
    [
      'a binding',
      { bindings: [{ source: 'no', vhost: '/', destination: 'q' }] },
      "bindings[0] 'no' of vhost '/': no exchange 'no'",
    ],
    [
      'a kind of binding',
      { bindings: [{ source: 'amq.direct', vhost: '/', destination: 'q', destination_type: 'moon' }] },
      "destination_type is 'moon'",
    ],
    [
      'a user',
      { permissions: [{ user: 'no', vhost: '/', configure: '', write: '', read: '' }] },
      "permissions[0] 'no' of vhost '/': user 'no' not found",
    ],
    [
      'a hash',
      { users: [{ name: 'u', password_hash: '', hashing_algorithm: 'rot13' }] },
      "users[0] 'u': hashing_algorithm 'rot13' is unknown",
    ],
    ['tags', { users: [{ name: 'u', tags: [1] }] }, "users[0] 'u': tags has to be a list of text, or text"],
    [
      'a policy',
      { policies: [{ name: 'p', vhost: '/', pattern: '', definition: {} }] },
      "policies[0] 'p' of vhost '/': policy 'p': its definition is empty",
    ],
    ['a limit', { vhosts: [{ name: 'h', limits: { odd: 1 } }] }, "vhosts[0] 'h': 'odd' is no limit"],
    [
      'a parameter',
      { parameters: [{ vhost: '/', component: 'c', name: 'n' }] },
      "parameters[0] 'n' of vhost '/': value is missing",
    ],
  ]

  test.each(wrong)('%s names the entry', async (_what, file, text) => {
    const [core] = await open()
    expect(await tryImport(core, file)).toContain(text)
  })

  test.each(wrong)('%s imports nothing of what stands before or behind it', async (_what, file) => {
    const [core, host] = await open()
    const table = { 'x-max-priority': 3 }
    await tryImport(core, {
      vhosts: [{ name: 'h', description: 'before', limits: { 'max-queues': 30 } }],
      users: [{ name: 'app', tags: 'monitoring', password_hash: 'x', limits: { 'max-channels': 1 } }],
      policies: [{ vhost: 'h', name: 'p', pattern: 'old', definition: { expires: 1 } }],
      exchanges: [{ name: 'auto', vhost: 'h', type: 'topic', auto_delete: true }],
      queues: [{ name: 'q', vhost: 'h', arguments: table }],
    })
    const before = await exported(core)
    const merged = Object.fromEntries(
      [...new Set([...Object.keys(definitions), ...Object.keys(file)])].map((key): [string, Json] => {
        const [good, bad] = [definitions[key], file[key]]
        return [key, Array.isArray(good) && Array.isArray(bad) ? [...good, ...bad] : (bad ?? good ?? null)]
      }),
    )
    const bindings = [
      ...(merged['bindings'] as Json[]),
      { source: 'auto', vhost: 'h', destination: 'q' },
      { source: 'no', vhost: 'h', destination: 'q' },
    ]
    expect(await tryImport(core, { ...merged, bindings })).toContain('definitions: ')
    expect(await exported(core)).toEqual(before)
    expect(host.has('q')).toBe(false)
  })
})

describe('an export', () => {
  test('has what was imported, but for what every broker has', async () => {
    const [core] = await open()
    await tryImport(core, definitions)
    const out = await exported(core)
    expect(names(out['users'])).toEqual(['guest', 'ops', 'app'])
    expect(names(out['exchanges'])).toEqual(['h x', 'h y'])
    expect(names(out['queues'])).toEqual(['/ q', 'h q', 'h amq.gen-made-by-a-broker'])
    expect(out['bindings']).toEqual((definitions['bindings'] as Json[]).slice(0, 3))
    expect(out['policies']).toEqual(definitions['policies'])
    expect(out['permissions']).toContainEqual((definitions['permissions'] as Json[])[0])
    expect(out['topic_permissions']).toEqual(definitions['topic_permissions'])
    expect(out['global_parameters']).toEqual(definitions['global_parameters'])
    for (const parameter of definitions['parameters'] as JsonObject[])
      expect(out['parameters']).toContainEqual(parameter)
  })

  test('comes in again as it was, into another broker', async () => {
    const [core] = await open()
    await tryImport(core, definitions)
    const out = await exported(core)
    const [other] = await open()
    expect(await tryImport(other, out)).toBe('')
    expect(JSON.stringify(await exported(other), null, 1)).toBe(JSON.stringify(out, null, 1))
  })

  test('has no hash of a password unless it is asked for, and never the password of guest', async () => {
    const [core] = await open()
    await tryImport(core, definitions)
    expect(JSON.stringify(await exported(core, null, false))).not.toMatch(/hash|kI3GC/)
    const [guest, ops] = (await exported(core))['users'] as readonly JsonObject[]
    expect(guest).toEqual({ name: 'guest', tags: ['administrator'], limits: {} })
    expect(ops).toEqual((definitions['users'] as Json[])[0])
  })

  test('has nothing of what ends with its connection', async () => {
    const [core] = await open()
    const session = await core.session()
    const channel = session.channel()
    channel.declareQueue('mine', { exclusive: true })
    channel.bind('mine', 'amq.topic', '#')
    const out = await exported(core)
    expect([out['queues'], out['bindings']]).toEqual([[], []])
  })

  test('of a virtual host that is not there is refused', async () => {
    const [core] = await open()
    const command = { type: 'leveret.export-definitions', virtualHost: 'h', withHashes: false } as const
    expect((await core.channel()).refusal(command)).toBe("NOT_FOUND - vhost 'h' not found")
  })
})

test('whenever the power goes, all of a file is there or nothing of it', async () => {
  const outcomes = new Set<string>()
  for (let stop = 0; stop < 12; stop++) {
    const folder = new SimFolder(stop + 1)
    const run = await folder.open()
    run.channel.give({ type: 'leveret.import-definitions', virtualHost: null, definitions })
    await folder.clock.advance(stop)
    folder.cutPower()
    const again = await folder.open()
    const id = again.channel.give({ type: 'leveret.export-definitions', virtualHost: null, withHashes: false })
    await again.settle()
    const reply = again.channel.replies.get(id)
    const out = reply?.type === 'leveret.definitions' ? reply.definitions : {}
    const counts = ['users', 'vhosts', 'policies', 'exchanges', 'bindings'].map((key) => (out[key] as Json[]).length)
    outcomes.add(counts.join(' '))
    await again.close()
  }
  expect([...outcomes].sort()).toEqual(['1 1 0 0 0', '3 2 1 2 3'])
})
