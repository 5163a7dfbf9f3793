// The conversations under an alarm, with Debian's RabbitMQ and with Leveret's server. In RabbitMQ rabbitmqctl rings the alarm,
// in Leveret a driver before the broker: when the broker rings it itself is shown in src/broker/broker.test.ts.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Broker } from '../../src/broker/broker.ts'
import { NodePlatform } from '../../src/platform/node-platform.ts'
import { AmqpServer } from '../../src/server/amqp-server.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { Allowed } from '../differential/compare.ts'
import { alarmConversations } from '../differential/conversations/alarms.ts'
import { converse, type Outcome } from '../differential/run.ts'
import { AlarmedDriver } from '../support/alarmed-driver.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

const names = alarmConversations({ ring: async () => {} }).map(({ name }) => name)
const allowed = new Allowed([
  {
    conversation: 'low on memory and on disk: told once, with both, and unblocked when both are over',
    reason: 'which of two alarms is named first is not promised',
    rabbitmq: ['< a0 connection.blocked reason="low on disk & memory"'],
    leveret: ['< a0 connection.blocked reason="low on memory & disk"'],
  },
])
const ends: (() => Promise<void>)[] = []
let outcomes: readonly [ReadonlyMap<string, Outcome>, ReadonlyMap<string, Outcome>]

async function withRabbitmq(): Promise<ReadonlyMap<string, Outcome>> {
  const broker = await startRabbitmq()
  ends.push(() => broker.stop())
  const conversations = alarmConversations({
    async ring(alarm, isOn) {
      const which = `{resource_limit, ${alarm}, node()}`
      const call = isOn ? `rabbit_alarm:set_alarm({${which}, []}).` : `rabbit_alarm:clear_alarm(${which}).`
      await broker.control('eval', call)
    },
  })
  return converse(Number(new URL(broker.url).port), conversations, 1)
}

async function withLeveret(): Promise<ReadonlyMap<string, Outcome>> {
  const platform = new NodePlatform()
  const broker = await Broker.open(platform, new MemoryStore(), { memoryBytesMax: 1e9, deliverAfter: 'accept' })
  const driver = new AlarmedDriver(broker)
  const server = new AmqpServer(platform, driver)
  ends.push(async () => {
    await server.close()
    await broker.close()
  })
  const { port } = await server.listen('127.0.0.1', 0)
  return converse(port, alarmConversations({ ring: async (alarm, isOn) => driver.ring(alarm, isOn) }), 1)
}

beforeAll(async () => {
  outcomes = await Promise.all([withRabbitmq(), withLeveret()])
}, 300_000)

afterAll(async () => {
  for (const end of ends) await end()
})

test('no difference is allowed that does not occur', () => {
  for (const name of names) {
    allowed.findings(name, outcomes[0].get(name)?.transcript ?? [], outcomes[1].get(name)?.transcript ?? [])
  }
  expect(allowed.unused()).toEqual([])
})

test.each(names)('%s', (name) => {
  const [one, two] = outcomes.map((all) => all.get(name) as Outcome) as [Outcome, Outcome]
  const text = (outcome: Outcome): string => `${outcome.transcript.join('\n')}\n${outcome.error}`
  expect(one.error, text(one)).toBe(null)
  expect(two.error, text(two)).toBe(null)
  expect(allowed.findings(name, one.transcript, two.transcript), 'RabbitMQ: -  Leveret: +').toBe('')
})
