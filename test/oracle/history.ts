/**
 * One history, made from its seed: the same operations on a broker over a simulated disk and on the tables of SqlModel;
 * the broker is closed, killed or loses its power, and what it finds when it opens again must be what the tables hold – as
 * they are, or without the last frames that nobody was promised.
 *
 * It looks at a broker from outside alone: at answers, and at the numbers of its frames. Everything about its store is
 * small, so that backlogs, checkpoints and compaction are part of a history of some hundred messages.
 */
import { crc32 } from 'node:zlib'
import { Broker } from '../../src/broker/broker.ts'
import type { Queue } from '../../src/broker/queue.ts'
import { Prng } from '../../src/lib/prng.ts'
import type { BasicGetOk, Command, Reply } from '../../src/model/command.ts'
import type { Network } from '../../src/platform/network.ts'
import type { Platform } from '../../src/platform/platform.ts'
import type { Entry } from '../../src/store/entry.ts'
import { LogStore } from '../../src/store/log-store.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../../src/store/log-store-options.ts'
import {
  bindCommand,
  CoreChannel,
  CoreSession,
  declareExchange,
  declareQueue,
  hostLogin,
  makeMessage,
} from '../../src/testing/core-harness.ts'
import { SimClock } from '../../src/testing/sim-clock.ts'
import { SimCrypto } from '../../src/testing/sim-crypto.ts'
import { SimDisk } from '../../src/testing/sim-disk.ts'
import { SimMachine } from '../../src/testing/sim-host.ts'
import { SimRandom } from '../../src/testing/sim-random.ts'
import { type ExpectedMessage, head, type QueueFacts, type SentMessage, SqlModel } from './sql-model.ts'

/** The broker and the tables differ. */
export class Disagreement extends Error {}

export interface HistoryResult {
  readonly operations: number
  readonly messages: number
  readonly statements: number
  readonly recoveries: number
  readonly compared: number
  readonly cutFrames: number
}

const directory = '/data'
const everybody = 'everybody'
/** Longer than a write and a sync, and than acknowledgements wait for company. */
const quietMs = 400
const plenty = 1_000_000_000
const plain = 0
const confirming = 1
const transactional = 2

/** What a channel has of the broker, and what it is still told. */
interface Conversation {
  channel: CoreChannel
  /** Tags whose message has come. */
  tags: number[]
  lastTag: number
  /** What each basic.get under way must bring. */
  readonly expected: Map<number, { readonly body: string | null; readonly tag: number | null }>
}

/** What was said between begin and commit. */
type Postponed = { readonly publish: [string | null, SentMessage] } | { readonly settle: [number, Outcome] }

type Outcome = 'ack' | 'requeue' | 'reject'

interface FoundMessage {
  readonly body: string
  readonly entry: Entry
}

export class History {
  private readonly prng: Prng
  private readonly model: SqlModel
  private readonly clock = new SimClock()
  private readonly disk: SimDisk
  private readonly machine = new SimMachine()
  private readonly storage: LogStoreOptions
  private readonly queues: readonly QueueFacts[]
  private readonly note: (line: string) => void
  private broker!: Broker
  private store!: LogStore
  private conversations: Conversation[] = []
  private postponed: Postponed[] = []
  /** The frame of each publish that is to be confirmed, by its number from 1; 0 if nothing of it is stored. */
  private framesOfPublishes: number[] = [0]
  private sent = 0
  private operations = 0
  private recoveries = 0
  private compared = 0
  private cutFrames = 0

  constructor(seed: number, model: SqlModel, note: (line: string) => void) {
    this.prng = new Prng(seed)
    this.model = model
    this.note = note
    this.disk = new SimDisk(this.clock, seed, { latencyMsMax: this.pick([0, 0.5, 2, 10]) })
    this.storage = this.makeStorage()
    this.queues = this.makeQueues()
    note(`queues ${JSON.stringify(this.queues)}`)
  }

  async run(): Promise<HistoryResult> {
    const lives = 2 + this.prng.below(4)
    await this.open()
    await this.declareTargets()
    for (let life = 1; life <= lives; life++) {
      const steps = this.pick([10, 40, 40, 100])
      for (let step = 0; step < steps; step++) await this.step()
      await this.end()
      if (life < lives) await this.open()
    }
    const { operations, sent, recoveries, compared, cutFrames } = this
    return { operations, messages: sent, statements: this.model.statements, recoveries, compared, cutFrames }
  }

  // ------------------------------------------------------------------------------------------------------ the plan

  private makeStorage(): LogStoreOptions {
    return {
      ...logStoreOptionsDefault,
      segmentBytesMax: this.pick([4_096, 8_192, 30_000]),
      windowBytesMax: this.pick([600, 2_000, 20_000, plenty]),
      pageBytesMax: this.pick([0, 300, 2_000, plenty]),
      pageFileBytesMax: this.pick([200, 2_000, 60_000]),
      checkpointBytes: this.pick([1_000, 5_000, 20_000, plenty]),
      deadBytesMax: this.pick([0, 2_000, 10_000]),
      coldBytesMax: this.pick([1_000, 20_000]),
      compactionBytesPerSecond: plenty,
      checkpointMs: this.pick([50, 500, 3_000]),
      sliceMs: 0,
      restMs: this.pick([0, 1]),
    }
  }

  /** Targets of dead letters first: they are there as long as the history lasts. */
  private makeQueues(): QueueFacts[] {
    const { prng } = this
    const queues: QueueFacts[] = []
    const count = 1 + prng.below(4)
    for (let number = 1; number <= count; number++) {
      const name = `queue-${number}`
      const ttlMs = this.pick([null, null, null, 50, 1_000])
      const target = prng.chance(0.5) ? `dead-${number}` : null
      const keyed = prng.chance(0.3)
      const facts = { name, durable: prng.chance(0.85), maxPriority: this.pick([0, 0, 3, 10]), keyed, ttlMs, target }
      queues.push({ ...facts, ordered: true })
      if (target === null) continue
      const none = { maxPriority: 0, keyed: false, ttlMs: null, target: null }
      queues.unshift({ name: target, durable: true, ...none, ordered: ttlMs === null })
    }
    return queues
  }

  private get sources(): QueueFacts[] {
    return this.queues.filter(({ name }) => name.startsWith('queue'))
  }

  private pick<T>(choices: readonly T[]): T {
    return choices[this.prng.below(choices.length)] as T
  }

  private get now(): number {
    return this.clock.realtimeMs()
  }

  // ---------------------------------------------------------------------------------------------------- operations

  private async step(): Promise<void> {
    const { prng } = this
    while (this.model.expiresAround(this.now)) await this.clock.advance(7)
    const weight = prng.below(100)
    if (weight < 32) this.publishSome(prng.chance(0.15) ? 1 + prng.below(30) : 1 + prng.below(3))
    else if (weight < 52) await this.getSome(1 + prng.below(4))
    else if (weight < 72) this.settleSome()
    else if (weight < 75) this.purge()
    else if (weight < 77) this.delete()
    else if (weight < 80) this.declare()
    else if (weight < 84) this.endTransaction()
    else if (weight < 87) this.commit()
    else if (weight < 88) this.closeChannel()
    else await this.wait()
    this.hear()
  }

  /** What happens in here happens in one frame. */
  private act<T>(text: string, action: () => T): T {
    const lsn = this.store.openLsn
    this.model.inFrame(lsn)
    this.operations++
    this.note(`@${lsn} ${this.now} ${text}`)
    const result = action()
    if (this.store.openLsn !== lsn) throw new Disagreement(`'${text}' began in frame ${lsn} and ended in another`)
    return result
  }

  private async declareTargets(): Promise<void> {
    const { channel } = this.conversation(plain)
    channel.give(declareExchange(everybody, 'fanout', { durable: true }))
    for (const queue of this.queues) this.declareQueue(queue)
    await this.clock.advance(quietMs)
    this.model.durable(this.store.durableLsn)
    if (this.model.mayBeCut) throw new Disagreement('nothing was stored')
  }

  private declare(): void {
    this.declareQueue(this.pick(this.sources))
  }

  private declareQueue(queue: QueueFacts): void {
    const { channel } = this.conversation(plain)
    const { name, durable, maxPriority, keyed, ttlMs, target } = queue
    const args = {
      ...(maxPriority > 0 ? { 'x-max-priority': maxPriority } : {}),
      ...(keyed ? { 'x-leveret-keyed': true } : {}),
      ...(ttlMs === null ? {} : { 'x-message-ttl': ttlMs }),
      ...(target === null ? {} : { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': target }),
    }
    this.act(`declare ${name}`, () => {
      this.model.declare(queue)
      channel.give(declareQueue(name, { durable, arguments: args }))
    })
    if (!name.startsWith('queue') || this.prng.chance(0.3)) return
    this.act(`bind ${name}`, () => {
      this.model.bind(name)
      channel.give(bindCommand('queue.bind', name, everybody, ''))
    })
  }

  private makeMessage(): SentMessage {
    const { prng } = this
    const id = ++this.sent
    const body = `${id}:${'.'.repeat(prng.chance(0.1) ? prng.below(3_000) : prng.below(60))}`
    return {
      body,
      persistent: prng.chance(0.85),
      priority: prng.chance(0.6) ? 0 : prng.below(12),
      key: prng.chance(0.3) ? null : `key-${prng.below(4)}`,
      ttlMs: null,
    }
  }

  /** Where it goes: to one queue, or to all that are bound. Only where messages expire by themselves may they say when. */
  private route(): { queue: string | null; message: SentMessage } {
    const message = this.makeMessage()
    if (this.prng.chance(0.15)) return { queue: null, message }
    const { name, ttlMs } = this.pick(this.sources)
    const says = ttlMs !== null && this.prng.chance(0.5)
    return { queue: name, message: says ? { ...message, ttlMs: this.prng.below(2_000) } : message }
  }

  private asSent(queue: string | null, { body, persistent, priority, key, ttlMs }: SentMessage) {
    const properties = { priority, ...(ttlMs === null ? {} : { expiration: `${ttlMs}` }) }
    const headers = key === null ? {} : { 'x-leveret-key': key }
    return makeMessage(queue === null ? everybody : '', queue ?? '', body, { persistent, headers, properties })
  }

  private publishSome(count: number): void {
    const number = this.pick([plain, plain, confirming, confirming, transactional])
    const { channel } = this.conversation(number)
    for (let at = 0; at < count; at++) {
      const { queue, message } = this.route()
      this.act(`publish on ${number} to ${queue ?? 'all'} ${head(message.body)} ${JSON.stringify(message)}`, () => {
        if (number === transactional) this.postponed.push({ publish: [queue, message] })
        else this.model.publish(queue, message, this.now)
        const sequence = channel.port.publish(this.asSent(queue, message), false)
        if (number === confirming) {
          this.framesOfPublishes[sequence] = this.model.isStored(queue, message) ? this.store.openLsn : 0
        }
      })
    }
  }

  private async getSome(count: number): Promise<void> {
    const { prng, model } = this
    const number = prng.below(3)
    const { name, keyed } = this.pick(this.queues)
    if (!model.isThere(name)) return
    if (!name.startsWith('queue') && !model.isSettled(name)) return
    for (let at = 0; at < count; at++) {
      if (keyed) await this.getKeyed(name, number)
      else this.get(name, number, prng.chance(0.25))
    }
  }

  private get(name: string, number: number, noAck: boolean): void {
    const conversation = this.conversation(number)
    this.act(`get ${name} on ${number}${noAck ? ' without ack' : ''}`, () => {
      const tag = conversation.lastTag + 1
      const body = this.model.get(name, number, noAck ? null : tag, this.now)
      if (body !== null) conversation.lastTag = tag
      const id = conversation.channel.give({ type: 'basic.get', queue: name, noAck })
      conversation.expected.set(id, { body, tag: noAck ? null : tag })
    })
  }

  /** Which key's turn it is the broker alone knows: so nothing else happens until it has said so. */
  private async getKeyed(name: string, number: number): Promise<void> {
    const { now } = this
    const conversation = this.conversation(number)
    const id = this.act(`get ${name} on ${number}`, () =>
      conversation.channel.give({ type: 'basic.get', queue: name, noAck: false }),
    )
    const reply = await this.reply(conversation, id)
    const body = reply.type === 'basic.get-ok' ? reply.message.body.toString() : null
    if (reply.type === 'basic.get-ok') {
      conversation.lastTag = reply.deliveryTag
      conversation.tags.push(reply.deliveryTag)
    }
    this.note(`  came ${body === null ? 'nothing' : head(body)}`)
    const wrong = this.model.takeOfKey(name, number, conversation.lastTag, body, now)
    if (wrong !== null) throw new Disagreement(wrong)
  }

  private async reply({ channel }: Conversation, id: number): Promise<Reply> {
    while (!channel.replies.has(id) && channel.error === null) {
      if (!(await this.clock.step())) break
    }
    const reply = channel.replies.get(id)
    if (reply === undefined) throw new Disagreement(`no answer came: ${channel.error?.message ?? 'for ever'}`)
    return reply
  }

  private settleSome(): void {
    const { prng } = this
    const number = prng.below(3)
    const conversation = this.conversation(number)
    const count = 1 + prng.below(4)
    for (let at = 0; at < count && conversation.tags.length > 0; at++) {
      // One of several only counts for those before it if all of them are here.
      const multiple = conversation.expected.size === 0 && prng.chance(0.15)
      const at = prng.below(conversation.tags.length)
      const tag = conversation.tags[at] as number
      const settled = multiple ? conversation.tags.slice(0, at + 1) : [tag]
      conversation.tags = conversation.tags.filter((one) => !settled.includes(one))
      const outcome = this.pick<Outcome>(['ack', 'ack', 'ack', 'requeue', 'requeue', 'reject'])
      this.act(`${outcome} ${tag}${multiple ? ' and before' : ''} on ${number}`, () => {
        if (number === transactional) {
          for (const one of settled) this.postponed.push({ settle: [one, outcome] })
        } else this.model[outcome](number, tag, multiple)
        if (outcome === 'ack') conversation.channel.port.ack(tag, multiple)
        else conversation.channel.port.reject(tag, multiple, outcome === 'requeue')
      })
    }
  }

  private purge(): void {
    const { name } = this.pick(this.queues)
    if (!this.model.isThere(name)) return
    if (!name.startsWith('queue') && !this.model.isSettled(name)) return
    this.act(`purge ${name}`, () => {
      this.model.purge(name, this.now)
      this.conversation(plain).channel.give({ type: 'queue.purge', queue: name })
    })
  }

  private delete(): void {
    const { name } = this.pick(this.sources)
    this.act(`delete ${name}`, () => {
      this.model.delete(name, this.now)
      this.conversation(plain).channel.give({ type: 'queue.delete', queue: name, ifUnused: false, ifEmpty: false })
    })
  }

  private endTransaction(): void {
    const conversation = this.conversation(transactional)
    const type = this.prng.chance(0.7) ? 'tx.commit' : 'tx.rollback'
    const postponed = this.postponed.splice(0)
    this.act(type, () => {
      if (type === 'tx.commit') this.model.together(() => this.apply(postponed))
      else conversation.tags = [...conversation.tags, ...settledIn(postponed)].sort((left, right) => left - right)
      conversation.channel.give({ type })
    })
  }

  private apply(postponed: readonly Postponed[]): void {
    for (const one of postponed) {
      if ('publish' in one) this.model.publish(...one.publish, this.now)
      else {
        const [tag, outcome] = one.settle
        this.model[outcome](transactional, tag, false)
      }
    }
  }

  /** As a worker does: what its handlers took, and what they sent, in one go. */
  private commit(): void {
    const conversation = this.conversation(plain)
    const { channel } = conversation
    const acks = conversation.tags.splice(0, this.prng.below(4))
    // One for a queue that is not there is refused, with all the rest; others test that.
    const routed = Array.from({ length: this.prng.below(4) }, () => this.route()).filter(
      ({ queue }) => queue === null || this.model.isThere(queue),
    )
    this.act(
      `commit acks ${acks.join(' ')} publishes ${routed.map(({ message }) => head(message.body)).join(' ')}`,
      () => {
        this.model.together(() => {
          for (const { queue, message } of routed) this.model.publish(queue, message, this.now)
          for (const tag of acks) this.model.ack(plain, tag, false)
        })
        channel.port.commit(
          1_000_000,
          acks,
          routed.map(({ queue, message }) => this.asSent(queue, message)),
        )
      },
    )
  }

  private closeChannel(): void {
    const number = this.prng.below(2)
    const conversation = this.conversation(number)
    if (conversation.expected.size > 0) return
    this.act(`close channel ${number}`, () => {
      this.model.closeChannel(number)
      const next = conversation.channel.sibling()
      conversation.channel.port.close()
      this.begin(number, next)
    })
  }

  private async wait(): Promise<void> {
    const ms = this.pick([0, 0, 1, 5, 30, 150, quietMs])
    this.note(`wait ${ms} ms`)
    await this.clock.advance(ms)
    this.model.durable(this.store.durableLsn)
    if (ms === quietMs && !this.model.mayBeCut) this.model.arrived()
  }

  /** What has been said meanwhile. */
  private hear(): void {
    for (const { channel, expected, tags } of this.conversations) {
      if (channel.error !== null) throw new Disagreement(`a channel failed: ${channel.error.message}`)
      for (const [id, { body, tag }] of expected) {
        const reply = channel.replies.get(id)
        if (reply === undefined) continue
        expected.delete(id)
        const came = reply.type === 'basic.get-ok' ? reply.message.body.toString() : null
        this.note(`  came ${came === null ? 'nothing' : head(came)}`)
        if (came !== body) {
          throw new Disagreement(
            `${came === null ? 'nothing' : head(came)} came, not ${body === null ? 'nothing' : head(body)}`,
          )
        }
        if (came !== null && tag !== null) {
          if ((reply as BasicGetOk).deliveryTag !== tag) throw new Disagreement(`the tag ${tag} is another`)
          tags.push(tag)
          tags.sort((left, right) => left - right)
        }
      }
    }
  }

  // --------------------------------------------------------------------------------------------------------- lives

  private platform(clock: SimClock, disk: SimDisk, seed: number): Platform {
    const host = this.machine.startProcess()
    const crypto = new SimCrypto(clock)
    return { clock, disk, random: new SimRandom(seed), crypto, host, network: null as unknown as Network }
  }

  private async open(): Promise<void> {
    const { clock } = this
    const platform = this.platform(clock, this.disk, this.prng.nextU32())
    this.store = new LogStore(platform, directory, this.storage)
    this.broker = await clock.run(Broker.open(platform, this.store, { memoryBytesMax: plenty }))
    const session = new CoreSession({ settle() {} })
    session.port = await clock.run(this.broker.openSession(hostLogin, session))
    this.conversations = []
    this.postponed = []
    for (const number of [plain, confirming, transactional]) {
      this.begin(number, new CoreChannel({ settle() {} }, session.port))
    }
    this.note(`opened, frame ${this.store.openLsn}`)
  }

  private conversation(number: number): Conversation {
    return this.conversations[number] as Conversation
  }

  private begin(number: number, channel: CoreChannel): void {
    this.conversations[number] = { channel, tags: [], lastTag: 0, expected: new Map() }
    if (number === confirming) {
      this.framesOfPublishes = [0]
      channel.give({ type: 'confirm.select' })
    } else if (number === transactional) channel.give({ type: 'tx.select' })
  }

  private async end(): Promise<void> {
    const way = this.pick(['close', 'kill', 'power', 'power', 'power', 'power'])
    let durableLsn = Number.MAX_SAFE_INTEGER
    if (way === 'close') await this.clock.run(this.broker.close())
    else {
      // Some events more, and something is being written.
      for (let left = this.prng.below(this.pick([1, 4, 20])); left > 0; left--) await this.clock.step()
      this.hear()
      durableLsn = Math.max(this.store.durableLsn, this.promisedLsn())
      this.cutOff(way === 'kill')
    }
    this.note(`${way}, durable ${durableLsn}`)
    const isCutOffTwice = this.prng.chance(0.3)
    // What is in the page cache alone is found, and may be lost all the same if the power goes before it is stored again.
    if (!isCutOffTwice || way !== 'kill') {
      await this.compare(durableLsn)
      durableLsn = Number.MAX_SAFE_INTEGER
    }
    // Time goes by.
    await this.clock.advance(this.pick([0, 10, 1_500]))
    if (!isCutOffTwice) return
    const platform = this.platform(this.clock, this.disk, this.prng.nextU32())
    void Broker.open(platform, new LogStore(platform, directory, this.storage), { memoryBytesMax: plenty })
    for (let left = this.prng.below(40); left > 0; left--) await this.clock.step()
    this.cutOff(this.prng.chance(0.3))
    this.note('a recovery was cut off')
    await this.compare(durableLsn)
  }

  private cutOff(processOnly: boolean): void {
    this.disk.crash(undefined, processOnly)
    this.clock.clear()
    this.machine.reboot()
  }

  /** The last frame of which a confirm has told. */
  private promisedLsn(): number {
    let promised = 0
    for (const line of this.conversation(confirming).channel.lines) {
      const [, multiple, number] = /^confirm (up to )?(\d+)$/.exec(line) ?? []
      if (number === undefined) continue
      const first = multiple === undefined ? Number(number) : 1
      promised = Math.max(promised, ...this.framesOfPublishes.slice(first, Number(number) + 1))
    }
    return promised
  }

  // ---------------------------------------------------------------------------------------------------- comparison

  /** What is on the disk must be what the tables hold, without the last frames if need be. */
  private async compare(durableLsn: number): Promise<void> {
    const clock = new SimClock()
    let now = this.now
    while (this.model.expiresAround(now)) now += 7
    clock.jumpRealtime(now - clock.realtimeMs())
    const found = await this.read(clock)
    this.recoveries++
    const differences: string[] = []
    for (;;) {
      const wrong = this.difference(found, now)
      if (wrong === null) break
      differences.push(`as of frame ${this.model.lastFrame}, ${wrong}`)
      if (!this.model.cutLast(durableLsn)) throw new Disagreement(`after recovery, ${differences.join('; ')}`)
      this.cutFrames++
    }
    this.note(`found, but for ${differences.length} frames that were cut off`)
    this.model.keepAll()
    this.model.reopened(
      now,
      (queue, body) => found.queues.get(queue)?.some((message) => message.body === body) ?? false,
    )
  }

  /** Opens a copy of the disk and takes everything out, the queues in which dead letters end last. */
  private async read(clock: SimClock): Promise<{ queues: Map<string, FoundMessage[]>; bound: Set<string> }> {
    const platform = this.platform(clock, this.disk.clone(clock, 1), 1)
    const store = new LogStore(platform, directory, this.storage)
    const broker = await clock.run(Broker.open(platform, store, { memoryBytesMax: plenty }))
    const session = new CoreSession({ settle() {} })
    session.port = await clock.run(broker.openSession(hostLogin, session))
    const channel = new CoreChannel({ settle() {} }, session.port)
    const queues = new Map<string, FoundMessage[]>()
    const bound = new Set<string>()
    broker.durableTopology((record) => {
      if (record.type === 'queue-declared') queues.set(record.name, [])
      else if (record.type === 'bound' && record.source === everybody) bound.add(record.destination)
    })
    const targets = new Set(this.queues.map(({ target }) => target))
    for (const isTarget of [false, true]) {
      for (const name of queues.keys()) {
        if (targets.has(name) === isTarget) queues.set(name, await this.drain(clock, store, channel, name))
      }
      // What has expired goes its way.
      await clock.advance(200)
    }
    this.machine.endProcess(platform.host as never)
    return { queues, bound }
  }

  private async drain(clock: SimClock, store: LogStore, channel: CoreChannel, name: string): Promise<FoundMessage[]> {
    const index = [...store.indexes].find(({ owner }) => (owner as Queue | null)?.name === name)
    if (index === undefined) throw new Disagreement(`queue ${name} has no index`)
    const get: Command = { type: 'basic.get', queue: name, noAck: false }
    const messages: FoundMessage[] = []
    let isLastRound = false
    // Where messages of a key wait for each other it takes more than one round.
    for (;;) {
      const asked: { readonly id: number; readonly entry: Entry | null }[] = []
      for (let left = index.readyCount + 1; left > 0; left--) {
        const id = channel.give(get)
        // What basic.get takes is held last, behind what it found expired.
        let entry: Entry | null = null
        index.forEachHeld((held) => {
          entry = held
        })
        asked.push({ id, entry })
      }
      while (!channel.replies.has(asked.at(-1)?.id ?? 0)) {
        if (channel.error !== null || !(await clock.step())) {
          throw new Disagreement(`queue ${name} cannot be emptied: ${channel.error?.message ?? 'no answer'}`)
        }
      }
      const before = messages.length
      for (const { id, entry } of asked) {
        const reply = channel.replies.get(id)
        if (reply?.type !== 'basic.get-ok' || entry === null) continue
        messages.push({ body: reply.message.body.toString(), entry })
      }
      const cameAny = messages.length > before
      if (cameAny) channel.port.ack(0, true)
      else if (index.readyCount === 0 || isLastRound) return messages
      // What has expired holds its key until it was read.
      isLastRound = !cameAny
      await clock.advance(cameAny ? 0 : 1)
    }
  }

  private difference(
    { queues, bound }: { queues: ReadonlyMap<string, readonly FoundMessage[]>; bound: ReadonlySet<string> },
    now: number,
  ): string | null {
    const expected = groupBy(this.model.messages(now), ({ queue }) => queue)
    const facts = this.model.queues()
    const names = facts.map(({ name }) => name)
    for (const name of queues.keys()) if (!names.includes(name)) return `queue ${name} is there`
    for (const { name, bound: isBound, keyed, ordered } of facts) {
      const found = queues.get(name)
      if (found === undefined) return `queue ${name} is gone`
      if (bound.has(name) !== isBound) return `queue ${name} is${isBound ? ' not' : ''} bound`
      const here = expected.get(name) ?? []
      const wrong = keyed
        ? this.differenceByKey(here, found)
        : (differenceInOrder(here, found, ordered) ?? differenceInFacts(here, found))
      if (wrong !== null) return `queue ${name}: ${wrong}`
      this.compared += found.length
    }
    return twoPlaces(expected, queues)
  }

  /** Keys take turns: only those of one key have an order. */
  private differenceByKey(expected: readonly ExpectedMessage[], found: readonly FoundMessage[]): string | null {
    const foundByKey = groupBy(found, ({ entry }) => entry.keyHash)
    const expectedByKey = groupBy(expected, ({ key }) => hashOf(key))
    for (const hash of new Set([...foundByKey.keys(), ...expectedByKey.keys()])) {
      const here = expectedByKey.get(hash) ?? []
      const there = foundByKey.get(hash) ?? []
      const wrong = differenceInOrder(here, there, true) ?? differenceInFacts(here, there)
      if (wrong !== null) return wrong
    }
    return null
  }
}

function groupBy<Key, Value>(values: readonly Value[], keyOf: (value: Value) => Key): Map<Key, Value[]> {
  const groups = new Map<Key, Value[]>()
  for (const value of values) {
    const group = groups.get(keyOf(value))
    if (group === undefined) groups.set(keyOf(value), [value])
    else group.push(value)
  }
  return groups
}

function hashOf(key: string | null): number {
  return key === null ? 0 : Math.max(1, crc32(key))
}

function settledIn(postponed: readonly Postponed[]): number[] {
  return postponed.flatMap((one) => ('settle' in one ? [one.settle[0]] : []))
}

function differenceInOrder(
  expected: readonly ExpectedMessage[],
  found: readonly FoundMessage[],
  ordered: boolean,
): string | null {
  const there = new Set(found.map(({ body }) => body))
  const here = new Set(expected.map(({ body }) => body))
  if (there.size < found.length) return 'a message is there twice'
  for (const { body } of found) if (!here.has(body)) return `${head(body)} is there and must not be`
  for (const { body, presence } of expected) if (presence === 'must' && !there.has(body)) return `${head(body)} is lost`
  if (!ordered) return null
  const inOrder = expected.filter(({ body }) => there.has(body))
  const at = found.findIndex(({ body }, place) => body !== inOrder[place]?.body)
  return at < 0 ? null : `${head(found[at]?.body ?? '')} is where ${head(inOrder[at]?.body ?? '')} is next`
}

function differenceInFacts(expected: readonly ExpectedMessage[], found: readonly FoundMessage[]): string | null {
  for (const { body, entry } of found) {
    const { priority, expires } = expected.find((one) => one.body === body) as ExpectedMessage
    if (entry.priority !== priority) return `${head(body)} has priority ${entry.priority}, not ${priority}`
    if (entry.expiresAt !== (expires ?? 0)) return `${head(body)} expires at ${entry.expiresAt}, not ${expires ?? 0}`
  }
  return null
}

/** A message on its way is in one of two queues, never in both or in none. */
function twoPlaces(
  expected: ReadonlyMap<string, readonly ExpectedMessage[]>,
  queues: ReadonlyMap<string, readonly FoundMessage[]>,
): string | null {
  const places = new Map<string, number>()
  const counted = (body: string): string => body
  for (const [queue, messages] of expected) {
    const there = new Set(queues.get(queue)?.map(({ body }) => body))
    for (const { body, presence } of messages) {
      if (presence !== 'either') continue
      const name = `${queue.replace(/^\w+/, '')} ${counted(body)}`
      places.set(name, (places.get(name) ?? 0) + (there.has(body) ? 1 : 0))
    }
  }
  for (const [name, count] of places) {
    if (count !== 1) return `${name.slice(0, name.indexOf(':'))} is in ${count} places, on its way to the dead letters`
  }
  return null
}

/** Runs the history of a seed, and throws a Disagreement that tells how it got there. */
export async function runHistory(seed: number, note: (line: string) => void = () => {}): Promise<HistoryResult> {
  const model = await SqlModel.open()
  const lines: string[] = []
  try {
    const history = new History(seed, model, (line) => {
      lines.push(line)
      note(line)
    })
    return await history.run()
  } catch (error) {
    // Whatever the broker throws is no answer either.
    const what = error instanceof Disagreement ? error.message : error instanceof Error ? error.stack : String(error)
    throw new Disagreement(`seed ${seed}: ${what}\n  ${lines.slice(-8).join('\n  ')}`)
  } finally {
    model.close()
  }
}
