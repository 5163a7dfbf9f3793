// The connection of a bus with the broker of a test, at the port.
import { expect, it } from 'vitest'
import { type Core, CoreSession, hostLogin, openCore } from '../core-harness.ts'
import { BusLink } from './bus-link.ts'
import type { FaultDice } from './faults.ts'

/** Dice that fall as the test says. */
class FixedDice implements FaultDice {
  isAckLost = false
  lateMs = 0
  failure: 'stored' | 'lost' | null = null

  losesAck(): boolean {
    return this.isAckLost
  }

  lateness(): number {
    return this.lateMs
  }

  failedSend(): 'stored' | 'lost' | null {
    return this.failure
  }
}

interface Linked {
  readonly core: Core
  readonly dice: FixedDice
  readonly link: BusLink
  readonly session: CoreSession
}

async function openLink(): Promise<Linked> {
  const core = await openCore()
  const dice = new FixedDice()
  const link = new BusLink(core.broker, core.clock, dice)
  const session = new CoreSession(core)
  session.port = await link.openSession(hostLogin, session)
  return { core, dice, link, session }
}

it('brings a late delivery later, and none after its channel is closed', async () => {
  const { core, dice, session } = await openLink()
  const channel = session.channel()
  channel.declareQueue('q')
  channel.consume('q', { tag: 'c' })
  dice.lateMs = 100
  channel.publish('', 'q', 'late')
  dice.lateMs = 0
  channel.publish('', 'q', 'in time')
  expect(channel.takeBodies()).toEqual(['in time'])
  core.clock.advance(100)
  expect(channel.takeBodies()).toEqual(['late'])
  dice.lateMs = 100
  channel.publish('', 'q', 'too late')
  channel.close()
  core.clock.advance(100)
  expect(channel.takeBodies()).toEqual([])
  expect(session.channel().drain('q')).toEqual(['late!', 'in time!', 'too late!'])
})

it('leaves alone who wants no acknowledgements', async () => {
  const { dice, session } = await openLink()
  const channel = session.channel()
  channel.declareQueue('q')
  channel.consume('q', { tag: 'c', noAck: true })
  dice.lateMs = 100
  channel.publish('', 'q', 'an answer')
  expect(channel.takeBodies()).toEqual(['an answer'])
})

it('turns a lost acknowledgement into a redelivery, once, and takes along what was committed with it', async () => {
  const { dice, session } = await openLink()
  const channel = session.channel()
  channel.declareQueue('q')
  channel.declareQueue('next')
  channel.consume('q', { tag: 'c' })
  channel.publish('', 'q', 'a')
  channel.publish('', 'q', 'b')
  dice.isAckLost = true
  channel.ack(1)
  const [message] = channel.deliveries.map((delivery) => delivery.message)
  const id = channel.commit([2], [message!.copy('', 'next', message!.propertyBytes)])
  expect(channel.replies.get(id)).toEqual({ type: 'ok' })
  expect(channel.takeLines().filter((line) => line.startsWith('deliver'))).toEqual([
    'deliver c 1 a',
    'deliver c 2 b',
    'deliver c 3 a redelivered',
    'deliver c 4 b redelivered',
  ])
  channel.ack(3)
  channel.commit([4], [])
  expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 1 })
  expect(channel.counts('next')).toMatchObject({ ready: 0 })
})

it('numbers sends as if none was lost, and refuses those that fail whether they are stored or not', async () => {
  const { core, dice, session } = await openLink()
  const channel = session.channel()
  channel.declareQueue('q')
  channel.ask({ type: 'confirm.select' })
  channel.takeLines()
  const send = (failure: FixedDice['failure'], body: string): number => {
    dice.failure = failure
    return channel.post('', 'q', body, { mandatory: true })
  }
  expect([send(null, 'a'), send('lost', 'b'), send('stored', 'c'), send(null, 'd')]).toEqual([1, 2, 3, 4])
  core.settle()
  expect(channel.takeLines().toSorted()).toEqual(['confirm 1', 'confirm 4', 'refuse 2', 'refuse 3'])
  dice.failure = 'lost'
  channel.publish('', 'q', 'an answer')
  expect(channel.takeLines()).toEqual(['confirm 5'])
  expect(channel.drain('q')).toEqual(['a', 'c', 'd', 'an answer'])
})

it('lets nothing pass once it is cut, either way', async () => {
  const { core, link, session } = await openLink()
  const channel = session.channel()
  channel.declareQueue('q')
  channel.consume('q', { tag: 'c' })
  channel.publish('', 'q', 'a')
  link.cut('a test says so')
  expect(session.lines).toEqual(['closed: CONNECTION_FORCED - a test says so'])
  channel.takeLines()
  channel.ack(1)
  channel.commit([1], [])
  channel.reject(1, false)
  expect(channel.publish('', 'q', 'b')).toBe(0)
  expect(() => session.channel()).toThrow('CONNECTION_FORCED')
  const other = (await core.session()).channel()
  other.publish('', 'q', 'c')
  expect(channel.takeLines()).toEqual([])
  await link.notice()
  core.settle()
  expect(other.drain('q')).toEqual(['a!', 'c!'])
  link.cut('once is enough')
  expect(session.lines).toHaveLength(1)
})
