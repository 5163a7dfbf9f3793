// One queue, several channels, everything that can be done to it in any order, against the reference model.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { assert } from '../lib/assert.ts'
import type { Command } from '../model/command.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, consume, declareQueue, openCore } from '../testing/core-harness.ts'
import { ReferenceQueue } from '../testing/reference-model.ts'

type StepName =
  | 'publish'
  | 'consume'
  | 'cancel'
  | 'ack'
  | 'ack up to'
  | 'reject'
  | 'requeue'
  | 'requeue up to'
  | 'get'
  | 'purge'
  | 'prefetch'
  | 'prefetch of the channel'
  | 'pause'
  | 'resume'
  | 'recover'
  | 'close'
  | 'turn'
  | 'sync'

interface Step {
  readonly name: StepName
  readonly who: number
  readonly value: number
}

interface ModelConsumer {
  readonly noAck: boolean
  readonly prefetch: number
  held: number
}

const queue = 'q'

/** A channel as the model sees it, and the real one beside it. */
class Actor {
  readonly channel: CoreChannel
  readonly name: string
  readonly consumers = new Map<string, ModelConsumer>()
  /** What is out, by tag; the consumer's tag, or null for basic.get. */
  readonly out = new Map<number, string | null>()
  private readonly model: ReferenceQueue
  private lastTag = 0
  private lastConsumer = 0
  private prefetch = 0
  private channelPrefetch = 0
  private isPaused = false
  /** What the replies to basic.get must say, by id. */
  private readonly expected = new Map<number, string>()

  constructor(channel: CoreChannel, name: string, model: ReferenceQueue) {
    this.channel = channel
    this.name = name
    this.model = model
    channel.onDelivered = ({ consumerTag, tag, body, redelivered }) => {
      const consumer = this.consumers.get(consumerTag)
      assert(consumer !== undefined, 'only a consumer is handed anything')
      assert(this.hasCredit(consumer), 'nobody is handed more than it can take')
      assert(tag === ++this.lastTag, 'tags count up')
      if (consumer.noAck) return model.handOut(null, body, redelivered)
      model.handOut(this.holder(tag), body, redelivered)
      consumer.held++
      this.out.set(tag, consumerTag)
    }
  }

  hasCredit(consumer: ModelConsumer): boolean {
    if (this.isPaused) return false
    if (consumer.noAck) return true
    if (consumer.prefetch !== 0 && consumer.held >= consumer.prefetch) return false
    const heldByConsumers = [...this.out.values()].filter((tag) => tag !== null).length
    return this.channelPrefetch === 0 || heldByConsumers < this.channelPrefetch
  }

  act(name: StepName, value: number): void {
    const { channel, model } = this
    switch (name) {
      case 'publish':
        for (let count = value % 3; count >= 0; count--) {
          const body = `${model.published + 1}`
          model.publish(body)
          channel.post('', queue, body, { persistent: value % 5 !== 0 })
        }
        return
      case 'consume': {
        if (this.consumers.size >= 3) return
        const tag = `${this.name}${++this.lastConsumer}`
        this.consumers.set(tag, { noAck: value % 3 === 0, prefetch: this.prefetch, held: 0 })
        channel.give(consume(queue, { tag, noAck: value % 3 === 0 }))
        return
      }
      case 'cancel': {
        const tag = pick([...this.consumers.keys()], value)
        if (tag === undefined) return
        this.consumers.delete(tag)
        channel.give({ type: 'basic.cancel', consumerTag: tag })
        return
      }
      case 'ack':
      case 'ack up to':
      case 'reject':
      case 'requeue':
      case 'requeue up to':
        return this.settle(name, value)
      case 'get': {
        const noAck = value % 2 === 0
        const head = model.ready[0]
        const id = channel.give({ type: 'basic.get', queue, noAck })
        if (head === undefined) {
          this.expected.set(id, 'basic.get-empty')
          return
        }
        const redelivered = head.deliveries > 0
        const tag = ++this.lastTag
        model.handOut(noAck ? null : this.holder(tag), head.body, redelivered)
        if (!noAck) this.out.set(tag, null)
        const text = `${tag} ${head.body}${redelivered ? ' redelivered' : ''} ${model.ready.length}`
        this.expected.set(id, `basic.get-ok ${text}`)
        return
      }
      case 'purge':
        this.expected.set(channel.give({ type: 'queue.purge', queue }), `queue.purge-ok ${model.purge()}`)
        return
      case 'prefetch':
        this.prefetch = value % 4
        this.channelPrefetch = 0
        this.qos(this.prefetch, false)
        return
      case 'prefetch of the channel':
        this.channelPrefetch = value % 5
        this.qos(this.channelPrefetch, true)
        return
      case 'pause':
        this.isPaused = true
        return channel.port.pauseDeliveries()
      case 'resume':
        this.isPaused = false
        return channel.port.resumeDeliveries()
      case 'recover':
        channel.give({ type: 'basic.recover', requeue: true })
        for (const tag of this.out.keys()) this.letGo(tag, true)
        return
      default:
    }
  }

  close(): void {
    this.channel.port.close()
    for (const tag of this.out.keys()) this.letGo(tag, true)
    this.consumers.clear()
  }

  /** What was answered is what the model expected. */
  checkReplies(): void {
    assert(this.channel.error === null, `the channel goes on: ${this.channel.error?.message}`)
    for (const line of this.channel.takeLines()) {
      const [id, ...rest] = line.split(' ')
      const expected = this.expected.get(Number(id))
      if (expected !== undefined) expect(rest.join(' ')).toBe(expected)
    }
  }

  private qos(prefetchCount: number, global: boolean): void {
    this.channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount, global } satisfies Command)
  }

  private settle(name: StepName, value: number): void {
    const chosen = pick([...this.out.keys()], value)
    if (chosen === undefined) return
    const multiple = name.endsWith('up to')
    const requeue = name.startsWith('requeue')
    const tag = multiple && value % 7 === 0 ? 0 : chosen
    if (name.startsWith('ack')) this.channel.port.ack(tag, multiple)
    else this.channel.port.reject(tag, multiple, requeue)
    for (const each of this.out.keys()) {
      if (each === chosen || (multiple && (tag === 0 || each < chosen))) this.letGo(each, requeue)
    }
  }

  private letGo(tag: number, requeue: boolean): void {
    const consumer = this.consumers.get(this.out.get(tag) ?? '')
    if (consumer !== undefined) consumer.held--
    this.out.delete(tag)
    if (requeue) this.model.requeue(this.holder(tag))
    else this.model.settle(this.holder(tag))
  }

  private holder(tag: number): string {
    return `${this.name} ${tag}`
  }
}

function pick<T>(from: readonly T[], value: number): T | undefined {
  return from[value % Math.max(1, from.length)]
}

const weights: Readonly<Record<StepName, number>> = {
  publish: 6,
  consume: 3,
  cancel: 1,
  ack: 4,
  'ack up to': 2,
  reject: 1,
  requeue: 3,
  'requeue up to': 2,
  get: 3,
  purge: 1,
  prefetch: 2,
  'prefetch of the channel': 1,
  pause: 1,
  resume: 2,
  recover: 1,
  close: 1,
  turn: 6,
  sync: 3,
}
const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  name: fc.oneof(
    ...Object.entries(weights).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as StepName) })),
  ),
  who: fc.nat(2),
  value: fc.nat(200),
})

/** What a log would make of the frames: the sequences that were published and not settled. */
function liveInFrames(store: ControlledStore): Set<number> {
  const live = new Set<number>()
  for (const line of store.frames.flat()) {
    const [what, , , ...rest] = line.split(' ')
    if (what === 'publish') for (const route of rest) live.add(Number(route.split(':')[1]))
    if (what === 'purged') {
      const [below, , ...held] = rest.map(Number)
      for (const sequence of live) if (sequence < Number(below) && !held.includes(sequence)) live.delete(sequence)
    }
    if (what !== 'settled') continue
    const ranges = line.split(' ').slice(2).map(Number)
    for (let at = 0; at < ranges.length; at += 2) {
      const end = ranges[at + 1] as number
      for (let sequence = ranges[at] as number; sequence <= end; sequence++) {
        assert(live.delete(sequence), `${sequence} is settled once, after it was published`)
      }
    }
  }
  return live
}

function checkAtRest(actors: readonly Actor[], model: ReferenceQueue, observer: CoreChannel): void {
  for (const actor of actors) actor.checkReplies()
  model.check()
  const waiting = actors.flatMap((actor) => [...actor.consumers.values()].filter((each) => actor.hasCredit(each)))
  if (waiting.length > 0) expect(model.readyText, 'ready, though a consumer could take it').toEqual([])
  expect(observer.counts(queue)).toEqual({
    ready: model.ready.length,
    unacked: model.unacked.size,
    consumers: actors.reduce((sum, actor) => sum + actor.consumers.size, 0),
  })
}

async function play(steps: readonly Step[]): Promise<void> {
  const store = new ControlledStore()
  const core: Core = await openCore({ store })
  const observer = await core.channel()
  observer.give(declareQueue(queue, { durable: true }))
  core.settle()
  store.sync()
  const model = new ReferenceQueue()
  const persistentPositions = new Set<number>()
  let names = 0
  const newActor = (channel: CoreChannel): Actor =>
    new Actor(channel, 'abcdefghijklmnopqrstuvwxyz'.charAt(names++ % 26) + names, model)
  const actors = [newActor(await core.channel()), newActor(await core.channel()), newActor(observer.sibling())]

  for (const { name, who, value } of steps) {
    const actor = actors[who] as Actor
    if (name === 'turn') {
      core.settle()
      // An answer that waits for the disk holds deliveries, so only now everything has come to rest.
      store.sync()
      core.settle()
      checkAtRest(actors, model, observer)
    } else if (name === 'sync') store.sync()
    else if (name === 'close') {
      actor.close()
      actors[who] = newActor(actor.channel.sibling())
    } else {
      const before = model.published
      actor.act(name, value)
      if (name === 'publish' && value % 5 !== 0) {
        for (let position = before + 1; position <= model.published; position++) persistentPositions.add(position)
      }
    }
  }
  core.settle()
  store.sync()
  core.settle()
  checkAtRest(actors, model, observer)
  for (const actor of actors) actor.close()
  core.settle()
  model.check()

  // What is left is what the log would find, too. (Settlements are written with the next thing that is wanted.)
  const left = new Set(model.ready.map((entry) => entry.position))
  const reader = observer.sibling()
  reader.give(declareQueue('flush', { durable: true }))
  core.settle()
  store.sync()
  expect(liveInFrames(store)).toEqual(new Set([...persistentPositions].filter((position) => left.has(position))))
  expect(reader.drain(queue)).toEqual(model.readyText)
}

test('a queue does what its reference model does, whatever three channels do to it', async () => {
  await fc.assert(fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 150, size: 'max' }), play), { numRuns: 400 })
})
