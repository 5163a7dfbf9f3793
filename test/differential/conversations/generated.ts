// Conversations that a seed decides: the same in each run, and the seed is in their names.
import { Prng } from '../../../src/lib/prng.ts'
import type { Channel } from '../channel.ts'
import { type Args, field, type Table } from '../peer.ts'
import type { Conversation, Talk } from '../talk.ts'

class Dice {
  private readonly prng: Prng

  constructor(seed: number) {
    this.prng = new Prng(seed)
  }

  /** 0 … sides - 1. */
  roll(sides: number): number {
    return this.prng.below(sides)
  }

  isLucky(percent: number): boolean {
    return this.roll(100) < percent
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.roll(items.length)] as Item
  }
}

function generated(
  what: string,
  count: number,
  run: (talk: Talk, dice: Dice, channel: Channel) => Promise<void>,
): readonly Conversation[] {
  return Array.from({ length: count }, (_, seed) => ({
    name: `${what}, seed ${seed}`,
    async run(talk) {
      const line = await talk.connect()
      await run(talk, new Dice(seed * 7919 + what.length), await line.channel())
    },
  }))
}

/** A channel that was closed by an error is opened again. */
async function reopened(channel: Channel): Promise<void> {
  if (channel.isOver && !channel.line.isOver) await channel.call('channel.open')
}

const argumentValues: readonly (readonly [string, readonly Table[string][]])[] = [
  ['x-message-ttl', [60_000, field('I', 60_000), field('u', 60_001), 'text', -1]],
  ['x-max-priority', [5, field('b', 5), 6, 300]],
  ['x-dead-letter-exchange', ['', 'amq.direct', 5]],
  ['x-dead-letter-routing-key', ['a', 'b', true]],
  ['x-queue-type', ['classic']],
  ['x-queue-mode', ['lazy', 'default', 'fast']],
  ['x-what', [1, 2, 'text', null]],
]

function randomQueue(dice: Dice): Args {
  const table: Record<string, Table[string]> = {}
  for (const [name, values] of argumentValues) {
    if (dice.isLucky(25)) table[name] = dice.pick(values)
  }
  return {
    durable: dice.isLucky(50),
    autoDelete: dice.isLucky(15),
    exclusive: dice.isLucky(20),
    passive: dice.isLucky(10),
    arguments: table as Table,
  }
}

const redeclares = generated('random declares of two queues', 25, async (talk, dice, channel) => {
  const other = await talk.open()
  const queues = [talk.name('a'), talk.name('b')]
  for (let step = 0; step < 12; step++) {
    const who = dice.isLucky(75) ? channel : other
    const queue = dice.pick(queues)
    if (dice.isLucky(15)) await who.call('queue.delete', { queue })
    else await who.declare(queue, randomQueue(dice))
    await reopened(who)
  }
})

const kinds = ['direct', 'fanout', 'topic', 'headers']
const words = ['a', 'b', '', 'a.b', 'a.*', '#', '*.b', 'a.#']

const topologies = generated('a random topology with circles', 25, async (talk, dice, channel) => {
  const exchanges = Array.from({ length: 5 }, (_, at) => talk.name(`x${at}`))
  const queues = Array.from({ length: 4 }, (_, at) => talk.name(`q${at}`))
  for (const exchange of exchanges) {
    await channel.declareExchange(exchange, dice.pick(kinds), { autoDelete: dice.isLucky(20) })
  }
  for (const queue of queues) await channel.declare(queue)
  const tables: readonly Table[] = [{}, { h: 1 }, { 'x-match': 'any', h: 1, i: 'x' }, { h: null }]
  for (let step = 0; step < 30; step++) {
    const exchange = dice.pick(exchanges)
    const routingKey = dice.pick(words)
    const binding = { exchange, routingKey, arguments: dice.pick(tables) }
    const isQueue = dice.isLucky(55)
    const destination = isQueue ? dice.pick(queues) : dice.pick(exchanges)
    const roll = dice.roll(100)
    if (roll < 55) await channel.call(isQueue ? 'queue.bind' : 'exchange.bind', { destination, ...binding })
    else if (roll < 65) await channel.call(isQueue ? 'queue.unbind' : 'exchange.unbind', { destination, ...binding })
    else if (roll < 68) await channel.call('exchange.delete', { exchange, ifUnused: dice.isLucky(50) })
    else {
      const headers = dice.pick<Table>([{}, { h: 1 }, { h: 2, i: 'x' }])
      await channel.publishes(exchange, dice.pick(words), `${step}`, { headers }, true)
    }
    await reopened(channel)
  }
  for (const queue of queues) await channel.call('queue.purge', { queue })
})

/** What a consumer's channel holds, as the transcript has it; both brokers have said the same so far, or it shows. */
interface Holder {
  readonly channel: Channel
  readonly tags: number[]
}

function settleOne(dice: Dice, holder: Holder): void {
  const { channel, tags } = holder
  const at = dice.roll(tags.length)
  const tag = tags[at] as number
  const multiple = dice.isLucky(25)
  const roll = dice.roll(4)
  if (roll === 0) channel.ack(tag, multiple)
  else if (roll === 1) channel.nack(tag, { multiple, requeue: true })
  else if (roll === 2) channel.nack(tag, { multiple, requeue: false })
  else channel.reject(tag, true)
  if (multiple && roll < 3) tags.splice(0, at + 1)
  else tags.splice(at, 1)
}

const acknowledging = generated('random acks, nacks and gets', 30, async (talk, dice, channel) => {
  const holders: Holder[] = []
  for (let count = 0; count < 2; count++) holders.push({ channel: await channel.line.channel(), tags: [] })
  const queue = talk.name('q')
  const dead = talk.name('dead')
  await channel.declare(dead)
  await channel.declare(queue, {
    arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
  })
  let body = 0
  for (let step = 0; step < 25; step++) {
    const holder = dice.pick(holders)
    const roll = dice.roll(100)
    if (roll < 35) await channel.publishes('', queue, `${++body}`)
    else if (roll < 60) {
      const before = holder.channel.delivered
      await holder.channel.get(queue)
      if (holder.channel.delivered > before) holder.tags.push(holder.channel.delivered)
    } else if (roll < 90 && holder.tags.length > 0) settleOne(dice, holder)
    else if (roll < 95) {
      await holder.channel.call('basic.recover', { requeue: true })
      holder.tags.length = 0
    }
    await talk.settle()
  }
  for (const { channel: ending } of holders) await ending.call('channel.close')
  for (let count = 0; count <= body; count++) await channel.get(queue, true)
  for (let count = 0; count <= body; count++) await channel.get(dead, true)
})

const consuming = generated('two random consumers of a queue', 30, async (talk, dice, channel) => {
  const queue = talk.name('q')
  await channel.declare(queue)
  const holders: Holder[] = []
  for (let count = 0; count < 2; count++) {
    const own = await channel.line.channel()
    holders.push({ channel: own, tags: [] })
    if (dice.isLucky(70)) await own.qos(1 + dice.roll(3))
    await own.consume(queue, `c${count}`)
  }
  for (let step = 1; step <= 20; step++) {
    for (const { channel: own, tags } of holders) tags.push(...own.takeDelivered())
    const holder = dice.pick(holders)
    const roll = dice.roll(100)
    if (roll < 50) await channel.publishes('', queue, `${step}`)
    else if (roll < 85 && holder.tags.length > 0) {
      const tag = holder.tags.splice(dice.roll(holder.tags.length), 1)[0] as number
      holder.channel.ack(tag)
    } else if (roll < 90) {
      await holder.channel.cancel('c0')
      await holder.channel.cancel('c1')
      await holder.channel.consume(queue, `d${step}`)
    }
    await talk.settle()
  }
})

const transactions = generated('a random transaction', 20, async (talk, dice, channel) => {
  const queue = talk.name('q')
  await channel.declare(queue)
  const worker = await channel.line.channel()
  await worker.call('tx.select')
  let tags: number[] = []
  let undecided: number[] = []
  for (let step = 0; step < 20; step++) {
    const roll = dice.roll(100)
    if (roll < 30) worker.publish('', queue, `in ${step}`, {}, dice.isLucky(50))
    else if (roll < 40) worker.publish('', talk.name('none'), `lost ${step}`, {}, true)
    else if (roll < 50) await channel.publishes('', queue, `beside ${step}`)
    else if (roll < 65) {
      const before = worker.delivered
      await worker.get(queue)
      if (worker.delivered > before) tags.push(worker.delivered)
    } else if (roll < 80 && tags.length > 0) {
      const tag = tags.splice(dice.roll(tags.length), 1)[0] as number
      undecided.push(tag)
      if (dice.isLucky(60)) worker.ack(tag)
      else worker.nack(tag, { requeue: dice.isLucky(50) })
    } else if (roll < 90) {
      await worker.call('tx.commit')
      undecided = []
    } else {
      await worker.call('tx.rollback')
      tags = [...tags, ...undecided].sort((one, two) => one - two)
      undecided = []
    }
    await talk.settle()
    await channel.call('queue.declare', { queue, passive: true })
  }
  await worker.call('channel.close')
  for (let count = 0; count < 12; count++) await channel.get(queue, true)
})

const prioritised = generated('random priorities', 15, async (talk, dice, channel) => {
  const queue = talk.name('q')
  await channel.declare(queue, { arguments: { 'x-max-priority': 1 + dice.roll(10) } })
  const tags: number[] = []
  for (let step = 0; step < 25; step++) {
    const roll = dice.roll(100)
    if (roll < 60) await channel.publishes('', queue, `${step}`, dice.isLucky(85) ? { priority: dice.roll(12) } : {})
    else if (roll < 85) {
      const before = channel.delivered
      await channel.get(queue)
      if (channel.delivered > before) tags.push(channel.delivered)
    } else if (tags.length > 0) {
      channel.nack(tags.splice(dice.roll(tags.length), 1)[0] as number)
      await talk.settle()
    }
  }
  for (let count = 0; count < 15; count++) await channel.get(queue, true)
})

const dying = generated('a random chain of dead letters', 15, async (talk, dice, channel) => {
  const queues = Array.from({ length: 4 }, (_, at) => talk.name(`q${at}`))
  for (const queue of queues) {
    const table: Record<string, Table[string]> = {}
    if (dice.isLucky(75)) {
      table['x-dead-letter-exchange'] = ''
      table['x-dead-letter-routing-key'] = dice.pick(queues)
    }
    await channel.declare(queue, { arguments: table as Table })
  }
  for (let step = 0; step < 15; step++) {
    const queue = dice.pick(queues)
    if (dice.isLucky(40)) await channel.publishes('', queue, `${step}`, { messageId: `m${step}` })
    else {
      const before = channel.delivered
      await channel.get(queue)
      if (channel.delivered > before) channel.reject(channel.delivered, dice.isLucky(20))
      await talk.settle()
    }
  }
  for (const queue of queues) {
    for (let count = 0; count < 3; count++) await channel.get(queue, true)
  }
})

const waiting = generated('random times to live', 10, async (talk, dice, channel) => {
  const queue = talk.name('q')
  const dead = talk.name('dead')
  await channel.declare(dead)
  await channel.declare(queue, {
    arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
  })
  let soon = 0
  // Whoever expires does so at once or long after the end; what stands behind the first that stays, stays too.
  let isBlocked = false
  for (let step = 0; step < 8; step++) {
    const isSoon = dice.isLucky(60)
    await channel.publishes(
      '',
      queue,
      `${step}`,
      isSoon ? { expiration: '1' } : dice.pick([{}, { expiration: '90000' }]),
    )
    if (!isSoon) isBlocked = true
    else if (!isBlocked) soon++
  }
  await talk.until(dead, soon)
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (let count = 0; count < 8; count++) await channel.get(queue)
  await talk.settle()
  for (let count = 0; count < 8; count++) await channel.get(dead, true)
})

export const generatedConversations: readonly Conversation[] = [
  ...redeclares,
  ...topologies,
  ...acknowledging,
  ...consuming,
  ...transactions,
  ...prioritised,
  ...dying,
  ...waiting,
]
