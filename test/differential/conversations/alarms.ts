// What publishers and consumers see while the broker is short of memory or of room on the disk. The alarm is rung by whoever
// has the conversation, for it is the whole broker's: these conversations are had one after the other.
import type { Conversation, Talk } from '../talk.ts'

export type Alarm = 'memory' | 'disk'

export interface Alarms {
  /** Resolves when every connection knows. */
  ring(alarm: Alarm, isOn: boolean): Promise<void>
}

/** A publisher that will be blocked is left alone by fences: it is not read. */
async function publisher(talk: Talk, clientProperties?: object) {
  const channel = await talk.open(clientProperties === undefined ? {} : { clientProperties: { ...clientProperties } })
  channel.isFenced = false
  return channel
}

export function alarmConversations(alarms: Alarms): readonly Conversation[] {
  return [
    ...(['memory', 'disk'] as const).map(
      (alarm): Conversation => ({
        name: `low on ${alarm}: who publishes is told and stopped, who consumes goes on`,
        async run(talk) {
          const [one, two] = [await publisher(talk), await talk.open()]
          const queue = talk.name('q')
          await two.declare(queue)
          for (const body of ['1', '2']) await two.publishes('', queue, body)
          await alarms.ring(alarm, true)
          await one.call('basic.qos')
          one.publish('', queue, 'stopped')
          await one.line.expect('connection.blocked')
          one.publish('', queue, 'behind')
          one.send('basic.qos')
          await two.qos(1)
          await two.consume(queue, 'c')
          two.ack(1)
          await talk.settle()
          await alarms.ring(alarm, false)
          await one.line.expect('connection.unblocked')
          one.isFenced = true
          await talk.settle()
          two.ack(2)
          await talk.settle()
        },
      }),
    ),
    {
      name: 'low on memory and on disk: told once, with both, and unblocked when both are over',
      async run(talk) {
        const one = await publisher(talk)
        await alarms.ring('memory', true)
        await alarms.ring('disk', true)
        one.publish('', 'nowhere', 'stopped')
        await one.line.expect('connection.blocked')
        await alarms.ring('memory', false)
        talk.hearAll()
        await alarms.ring('disk', false)
        await one.line.expect('connection.unblocked')
        one.isFenced = true
        await talk.settle()
      },
    },
    {
      name: 'low on memory: a client that does not know of alarms is stopped in silence',
      async run(talk) {
        const [one, two] = [await publisher(talk, {}), await talk.open()]
        const queue = talk.name('q')
        await two.declare(queue)
        await two.consume(queue, 'c', { noAck: true })
        await alarms.ring('memory', true)
        // Without a body: it is whole with the frame that is the last to be read.
        one.publish('', queue, '')
        await two.line.expect('basic.deliver')
        one.publish('', queue, 'second')
        await talk.settle()
        await alarms.ring('memory', false)
        one.isFenced = true
        await talk.settle()
      },
    },
    {
      name: 'low on memory: one that comes later is welcome, and stopped when it publishes',
      async run(talk) {
        await alarms.ring('memory', true)
        const one = await publisher(talk)
        await one.call('queue.declare', { queue: talk.name('q'), exclusive: true })
        one.publish('', 'nowhere', 'stopped')
        await one.line.expect('connection.blocked')
        await alarms.ring('memory', false)
        await one.line.expect('connection.unblocked')
        one.isFenced = true
        await talk.settle()
      },
    },
    {
      name: 'low on memory, over again before anybody published: nobody hears of it',
      async run(talk) {
        const one = await talk.open()
        await alarms.ring('memory', true)
        await one.call('basic.qos')
        await alarms.ring('memory', false)
        await one.publishes('', 'nowhere', 'a')
      },
    },
  ]
}
