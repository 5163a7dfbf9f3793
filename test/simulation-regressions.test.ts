// What the simulator found, as scenarios that do not depend on a seed.
import { describe, expect, it } from 'vitest'
import { Prng } from '../src/lib/prng.ts'
import type { Channel, ChannelEvents } from '../src/model/channel.ts'
import type { QueueDeclare } from '../src/model/command.ts'
import { emptyTable } from '../src/model/field-table.ts'
import { Message } from '../src/model/message.ts'
import { encodeProperties } from '../src/model/properties.ts'
import type { LogStore } from '../src/store/log-store.ts'
import { logStoreOptionsDefault } from '../src/store/log-store-options.ts'
import { SimClock } from '../src/testing/sim-clock.ts'
import { SimDisk } from '../src/testing/sim-disk.ts'
import { SimMachine } from '../src/testing/sim-host.ts'
import { SimNetwork } from '../src/testing/sim-network.ts'
import { openBroker, readState, silentChannel, silentSession } from '../src/testing/simulation/found-state.ts'
import { SimProcess } from '../src/testing/simulation/sim-process.ts'

const storage = { ...logStoreOptionsDefault, segmentBytesMax: 65_536 }
const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
const queue: QueueDeclare = {
  type: 'queue.declare',
  queue: 'q',
  passive: false,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: emptyTable,
}

interface Started {
  readonly clock: SimClock
  readonly disk: SimDisk
  readonly store: LogStore
  readonly channel: Channel
}

/** A broker on an empty disk, with a durable queue that holds one stored message. */
async function start(events: ChannelEvents = silentChannel): Promise<Started> {
  const clock = new SimClock()
  const disk = new SimDisk(clock, 1)
  const network = new SimNetwork(clock, new Prng(1))
  const life = new SimProcess(clock, disk, network, new SimMachine(), '127.0.0.1', 1)
  const { broker, store } = await clock.run(openBroker(life, storage, 1_000_000))
  const channel = (await clock.run(broker.openSession(login, silentSession))).openChannel(events)
  channel.execute(1, queue)
  channel.publish(Message.of('', 'q', encodeProperties({ deliveryMode: 2 }), Buffer.from('x')), false)
  await clock.advance(50)
  return { clock, disk, store, channel }
}

/** How many messages a power cut leaves that keeps nothing but what was synced. */
async function messagesAfterPowerCut(disk: SimDisk): Promise<number> {
  const clock = new SimClock()
  const copy = disk.clone(clock, 1)
  copy.crash(() => 'lost')
  return (await readState(clock, copy, storage)).queues.get('q')?.messages.length ?? -1
}

describe('a settlement', () => {
  it('reaches the disk although the consumer needs no ack and nothing else happens', async () => {
    const { clock, disk, channel } = await start()
    channel.execute(2, {
      type: 'basic.consume',
      queue: 'q',
      consumerTag: 'c',
      noAck: true,
      exclusive: false,
      arguments: emptyTable,
    })
    await clock.advance(500)
    expect(await messagesAfterPowerCut(disk)).toBe(0)
  })

  it('is in the frame it was promised, although the log proves its last frame just then', async () => {
    let tag = 0
    const events: ChannelEvents = {
      ...silentChannel,
      replied: (_id, reply) => {
        if (reply.type === 'basic.get-ok') tag = reply.deliveryTag
      },
    }
    const { clock, disk, store, channel } = await start(events)
    channel.execute(2, { type: 'basic.get', queue: 'q', noAck: false })
    // A SYNCED frame is due one second after the last frame; acks wait a tenth of a second for company.
    await clock.advance(900)
    const lsn = store.openLsn
    channel.ack(tag, false)
    while (store.durableLsn < lsn) expect(await clock.step()).toBe(true)
    expect(await messagesAfterPowerCut(disk)).toBe(0)
  })
})

describe('a command', () => {
  it('is answered although it was given while a turn ended, and nothing else happens', async () => {
    const answered: number[] = []
    const events: ChannelEvents = {
      ...silentChannel,
      replied: (id) => void answered.push(id),
      // Confirms are the last that is said in a turn: the channel has given its answers then.
      confirmed: () => started.channel.execute(9, { type: 'basic.get', queue: 'q', noAck: false }),
    }
    const started = await start(events)
    const { clock, channel } = started
    channel.execute(2, { type: 'confirm.select' })
    await clock.advance(50)
    channel.publish(Message.of('', 'q', encodeProperties({ deliveryMode: 1 }), Buffer.from('x')), false)
    // Less than it takes the log to prove its last frame, after which everybody is looked at.
    await clock.advance(500)
    expect(answered).toEqual([1, 2, 9])
  })
})
