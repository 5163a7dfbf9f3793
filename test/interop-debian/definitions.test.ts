// definitions.json there and back: what Debian's RabbitMQ exports comes in here, what we export goes in there, and both say the
// same of it in the end.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectAmqplib } from 'amqplib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Bus, connect, type JsonObject } from '../../src/index.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

let folder: string
let rabbitmq: Awaited<ReturnType<typeof startRabbitmq>>
let bus: Bus

beforeAll(async () => {
  folder = temporaryFolder('definitions')
  rabbitmq = await startRabbitmq()
  bus = await connect('memory:')
})

afterAll(async () => {
  await bus?.close()
  await rabbitmq?.stop()
  removeFolder(folder)
})

const file = (name: string): string => join(folder, name)

async function exportedByRabbitmq(name: string): Promise<JsonObject> {
  await rabbitmq.control('export_definitions', file(name))
  return JSON.parse(readFileSync(file(name), 'utf8')) as JsonObject
}

/** What both have to say the same of, in one order; RabbitMQ has parameters of its own. */
function comparable(definitions: JsonObject): Record<string, string[]> {
  // RabbitMQ 3 tells no type of queues, and not that an exchange is not internal; of those that are it tells nothing.
  const left: Readonly<Record<string, readonly string[]>> = { queues: ['type'], exchanges: ['internal'] }
  const kept: Readonly<Record<string, readonly string[]>> = { users: ['name', 'tags', 'limits'], vhosts: ['name'] }
  const sections = [
    'users',
    'vhosts',
    'permissions',
    'topic_permissions',
    'policies',
    'exchanges',
    'queues',
    'bindings',
  ]
  const compared = sections.map((section): [string, string[]] => {
    const isCompared = (key: string): boolean => kept[section]?.includes(key) ?? left[section]?.includes(key) !== true
    const entries = (definitions[section] as readonly JsonObject[]).map((entry) =>
      JSON.stringify(
        Object.entries(entry)
          .filter(([key]) => isCompared(key))
          .sort(([one], [other]) => (one < other ? -1 : 1)),
      ),
    )
    // To RabbitMQ a binding with a short integer is another one than that with a long, which definitions make.
    return [section, [...new Set(entries)].sort()]
  })
  return Object.fromEntries(compared)
}

async function fill(): Promise<void> {
  await rabbitmq.control('add_vhost', 'shop')
  await rabbitmq.control('add_user', 'anna', 'trout')
  await rabbitmq.control('set_user_tags', 'anna', 'administrator', 'monitoring')
  for (const host of ['/', 'shop']) await rabbitmq.control('set_permissions', '-p', host, 'anna', '^a', '.*', '')
  await rabbitmq.control('set_topic_permissions', '-p', 'shop', 'anna', 'amq.topic', '^w', '^r')
  const policy = ['--priority', '3', '--apply-to', 'queues', 'p', '^q', '{"max-length":10,"overflow":"reject-publish"}']
  await rabbitmq.control('set_policy', '-p', 'shop', ...policy)
  await rabbitmq.control('set_operator_policy', '-p', 'shop', 'o', '', '{"expires":900000}')
  await rabbitmq.control('set_vhost_limits', '-p', 'shop', '{"max-queues":20}')
  const connection = await connectAmqplib(`${rabbitmq.url}/`)
  const channel = await connection.createChannel()
  await channel.assertExchange('events', 'topic', { durable: true, alternateExchange: 'amq.fanout' })
  // Not an internal one: RabbitMQ leaves those out, and exports what is bound to them all the same.
  await channel.assertExchange('inner', 'headers', { durable: true })
  await channel.assertQueue('q', { durable: true, maxPriority: 5, arguments: { own: { list: [1, 'two', true] } } })
  await channel.assertQueue('large', { durable: true, deadLetterExchange: 'events', messageTtl: 60_000 })
  await channel.bindQueue('q', 'events', 'a.#')
  await channel.bindExchange('inner', 'events', 'b')
  await channel.bindQueue('large', 'inner', '', { 'x-match': 'any', n: 3, s: 'text' })
  await connection.close()
}

it('what RabbitMQ exports is imported, with users that log in with their passwords, and is the same when we export it', async () => {
  await fill()
  const theirs = await exportedByRabbitmq('theirs.json')
  await bus.importDefinitions(theirs)
  const ours = await bus.exportDefinitions({ withHashes: true })
  expect(comparable(ours)).toEqual(comparable(theirs))
  expect(ours['parameters']).toEqual(
    expect.arrayContaining([expect.objectContaining({ component: 'operator_policy', name: 'o' })]),
  )
  const served = await bus.serve({ amqp: 0 })
  const anna = await connect(served.url.replace('//', '//anna:trout@'))
  await anna.close()
  await expect(connect(served.url.replace('//', '//anna:salmon@'))).rejects.toThrow('ACCESS_REFUSED')
  await served.close()
})

it('what we export is imported by RabbitMQ, and is the same when that exports it', async () => {
  await bus.administer({ type: 'leveret.put-virtual-host', virtualHost: 'leveret', metadata: { description: 'ours' } })
  const everything = { configure: '.*', write: '.*', read: '.*' }
  await bus.administer({ type: 'leveret.put-permission', user: 'anna', virtualHost: 'leveret', ...everything })
  await bus.createQueue('ours', { maxPriority: 3 })
  const ours = await bus.exportDefinitions()
  // A user without a hash is one that RabbitMQ does not take: those it has keep theirs.
  writeFileSync(file('ours.json'), JSON.stringify({ ...ours, users: [] }))
  await rabbitmq.control('import_definitions', file('ours.json'))
  const theirs = await exportedByRabbitmq('back.json')
  expect(comparable(theirs)).toEqual(comparable(ours))
})
