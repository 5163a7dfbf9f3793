/**
 * One seed, one history of letters: messages that expire, are rejected, go round through dead-letter exchanges and keep the
 * order of their keys, while the broker is crashed and opened again.
 *
 * Above seed 5,000 some are hidden for a while, or transient, or of a priority; queues are purged and deleted; and there are
 * levels of durability, short memory, a disk that fails, and pages of indexes that are lost.
 *
 * It stands beside the simulator, not in it: when something expires or appears is the broker's to say, so the reference,
 * which knows each next word, cannot be asked. Here is known what may have become of each letter, and that must be the case.
 */
import { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import { emptyTable } from '../../model/field-table.ts'
import { isHonest } from './checker.ts'
import { isPromise, type Loss, loseSomething } from './crash.ts'
import { type OpenedBroker, readState, silentSession } from './found-state.ts'
import type { Letter, Station } from './letter.ts'
import { declareAll, LetterClient, Pressure } from './letter-client.ts'
import { type LetterPlan, makeLetterPlan } from './letter-plan.ts'
import { LetterPort } from './letter-port.ts'
import { Letters } from './letters.ts'
import { featureSeedsMin } from './level.ts'
import { Lodger } from './lodger.ts'
import { type Ending, pick } from './plan.ts'
import type { SimProcess } from './sim-process.ts'
import { type DiskCopy, Simulation, type SimulationCounts, type SimulationResult } from './simulation.ts'
import { asViolation, type HistoryOptions, Violation } from './trace.ts'

/** Runs the history of one seed to its end or to the first violation. */
export async function simulateLetters(seed: number, options: HistoryOptions): Promise<SimulationResult> {
  return await new LetterSimulation(seed, options).play()
}

class LetterSimulation extends Simulation<LetterPlan> {
  private readonly letters: Letters
  private port: LetterPort | null = null
  private clients: LetterClient[] = []
  private lodger: Lodger | null = null
  private places: ReadonlyMap<Letter, Station> = new Map()
  /** What was there when the disk was last looked at. */
  private foundLsn = 0

  constructor(seed: number, options: HistoryOptions) {
    const prng = new Prng(seed)
    super(seed, options, prng, makeLetterPlan(prng, seed))
    this.letters = new Letters(this.plan.queues, this.trace, this.plan.clockTrouble === 0)
  }

  protected override get title(): string {
    return 'letters'
  }

  protected override counts(): SimulationCounts {
    const { all } = this.letters
    return { transport: 'direct', publishes: all.length, confirms: all.filter(({ isConfirmed }) => isConfirmed).length }
  }

  // ------------------------------------------------------------------------------------------------- a life

  protected override async open(): Promise<boolean> {
    const { plan, clock, prng, letters, trace } = this
    const { level, memoryBytesMax } = plan.hardships
    const opened = await this.startBroker(memoryBytesMax, level.deliverAfter)
    if (opened === null) return false
    letters.adopt(this.places, this.foundLsn)
    const { broker, store } = opened
    trace.add(`opened at frame ${store.openLsn}: ${broker.report.messages} messages`)
    broker.onFailure((error) => {
      this.hasFailed = true
      // What it says from now on is that it can do nothing.
      if (this.port !== null) this.port.isDead = true
      this.forgive(error)
    })
    broker.onDamage((error) => trace.violated(asViolation(error)))
    const promised = (): void => {
      if (prng.chance(plan.probeChance)) this.wantsProbe = true
    }
    const { durability } = level
    this.port = new LetterPort(broker, { letters, trace, clock, frames: store, durability, promised })
    return true
  }

  protected override forgive(error: Error): void {
    if (this.trouble.faults === 0) this.trace.violated(asViolation(error))
    else this.trace.add(`failed: ${error.message}`)
  }

  protected override async live(ending: Ending): Promise<void> {
    const { plan, prng, clock } = this
    for (let number = 0; number < plan.clients; number++) {
      const pressure = new Pressure()
      const session = await this.openSession(pressure)
      if (session === null || this.hasFailed) break
      const clientClock = (this.process as SimProcess).clock
      const client = new LetterClient(session, pressure, this.letters, plan, new Prng(prng.nextU32()), clientClock)
      this.clients.push(client)
      client.start()
    }
    await this.takeLodgings()
    const goesOn = (): boolean => !this.trouble.isCrashDue && !this.hasFailed
    await this.stepWhile(
      () => goesOn() && this.clients.some(({ stepsLeft }) => stepsLeft > 0),
      clock.monotonicMs() + 60_000,
    )
    const graceMs = pick(prng, [0, 5, 500, 4_000])
    await this.stepWhile(goesOn, clock.monotonicMs() + graceMs)
    if (graceMs >= 500 && goesOn()) this.checkLimits()
    if (this.trouble.isCrashDue || this.hasFailed || ending === 'power' || ending === 'process') this.crash()
    else await this.close()
  }

  /** Queues that go by themselves are beside the others: no letter comes there. */
  private async takeLodgings(): Promise<void> {
    const { leasesMs } = this.plan.features
    if (leasesMs.length === 0 || this.hasFailed) return
    const session = await this.openSession(silentSession)
    if (session === null || this.hasFailed) return
    const prng = new Prng((this.seed * 0x9e3779b1 + 7 * this.recoveries) >>> 0)
    this.lodger = new Lodger(session, leasesMs, prng, (this.process as SimProcess).clock, this.trace)
    this.lodger.start()
  }

  /** Nothing was asked for in half a second: no queue that drops has more than it may. */
  private checkLimits(): void {
    const { opened, plan, trouble } = this
    if (opened === null || trouble.faults > 0) return
    // Consumers get what they can take before anything is dropped, be it that it must be synced first.
    const { openLsn, durableLsn } = opened.store
    if (plan.hardships.level.deliverAfter === 'sync' && durableLsn < openLsn - 1) return
    const names = new Map<number, string>()
    opened.broker.durableTopology((record) => {
      if (record.type === 'queue-declared') names.set(record.queueId, record.name)
    })
    for (const index of opened.store.indexes) {
      const rules = plan.queues.find(({ name }) => name === names.get(index.queueId))?.rules
      if (rules === undefined || rules.overflow !== 'drop-head') continue
      const { readyCount, readyBytes } = index
      if (readyCount <= rules.messagesMax && readyBytes <= rules.bytesMax) continue
      const most = `${rules.messagesMax} with ${rules.bytesMax}`
      const name = names.get(index.queueId) ?? ''
      throw new Violation('I17', `${name} has ${readyCount} messages with ${readyBytes} bytes, and may have ${most}`)
    }
  }

  private async openSession(events: SessionEvents): Promise<Session | null> {
    const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
    const outcome = await this.settled((this.port as LetterPort).openSession(login, events))
    if (outcome instanceof Error) this.forgive(outcome)
    return outcome instanceof Error || outcome === 'crashed' ? null : outcome
  }

  private async close(): Promise<void> {
    const outcome = await this.settled((this.port as LetterPort).close())
    if (outcome instanceof Error) this.forgive(outcome)
    if (outcome instanceof Error || outcome === 'crashed') return this.crash()
    this.isClosed = true
    this.endProcess()
  }

  protected override bury(): void {
    super.bury()
    if (this.port !== null) this.port.isDead = true
    this.port = null
    for (const client of this.clients) client.stop()
    this.lodger?.stop()
    this.lodger = null
    this.clients = []
  }

  // ------------------------------------------------------------------------------------------------- steps

  protected override stepped(): void {
    this.letters.latestMs = Math.max(this.letters.latestMs, this.clock.realtimeMs())
  }

  protected override async step(untilMs: number): Promise<boolean> {
    const happened = await super.step(untilMs)
    if (this.prng.chance(this.plan.clockTrouble / 4)) await this.setClock()
    return happened
  }

  /** The wall clock is set when no turn is under way: the broker reads it once in a turn. */
  private async setClock(): Promise<void> {
    while (await this.clock.step(this.clock.monotonicMs()));
    const byMs = (this.prng.next() - 0.3) * 3_000
    this.trace.add(`the wall clock is set by ${byMs.toFixed(0)} ms`)
    this.letters.setBackMs += Math.max(0, -byMs)
    this.clock.jumpRealtime(byMs)
    this.stepped()
  }

  // ------------------------------------------------------------------------------------------------- checks

  protected override async checkProbe({ clock, disk }: DiskCopy, { store }: OpenedBroker): Promise<void> {
    this.letters.check(await readState(clock, disk, this.plan.storage), store.durableLsn)
  }

  protected override async examine(): Promise<void> {
    const { clock, disk } = this.copyDisk()
    this.foundLsn = this.leastLsn
    this.places = this.letters.check(await readState(clock, disk, this.plan.storage), this.foundLsn)
    this.trace.add(`examined: ${this.places.size} letters`)
    if (this.isClosed && this.plan.hardships.lossChance > 0) await this.tryLoss()
  }

  /** After a clean end what is lost must be said, however much it is. */
  private async tryLoss(): Promise<void> {
    const { disk, letters, plan, places } = this
    const prng = new Prng((this.seed * 0x9e3779b1 + this.recoveries) >>> 0)
    if (!prng.chance(plan.hardships.lossChance)) return
    // Pages are few, and salvage has most to do with them.
    const isPageOnly = prng.chance(0.5) && disk.paths().some(isPage)
    const lost = loseSomething(disk, prng, isPageOnly ? isPage : isPromise)
    if (lost === null) return
    this.damages++
    // Without the file no checkpoint that names it is used, and salvage says that all before is lost.
    if (isPageOnly && hasAll(lost, disk.paths())) await this.trySalvage(lost)
    const copy = this.copyWith(lost)
    const found = await readState(copy.clock, copy.disk, plan.storage, true).catch((error: unknown) => {
      if (isHonest(error)) return null
      throw new Violation('I13', `after ${lost.damage} the folder ends in ${asViolation(error).message}`)
    })
    if (found === null || isHonest(found.failure)) return this.trace.add(`${lost.damage}: refused`)
    const missing = letters.missing(found, places, lost.damage)
    this.trace.add(`${lost.damage}: ${missing.length} letters are lost`)
    if (missing.length === found.damages.length) return
    const names = missing.map(({ id }) => `#${id}`).join(' ')
    const count = found.damages.length
    throw new Violation('I13', `after ${lost.damage} ${count} messages are called lost, and ${names} are`)
  }

  /** The pages of an index can be made again. */
  private async trySalvage(lost: Loss): Promise<void> {
    const { letters, plan, places } = this
    const { clock, disk } = this.copyWith(lost)
    letters.checkRescued(await readState(clock, disk, { ...plan.storage, salvage: true }), places, lost.damage)
    this.trace.add(`${lost.damage}: all is found again`)
  }

  /** Everything expires in its time, everything else can be got, and then nothing is left. */
  protected override async lastLife(): Promise<void> {
    const { letters, plan, clock } = this
    const session = (await this.openSession(silentSession)) as Session
    const last = new LastReader()
    const channel = session.openChannel(last)
    declareAll(channel, plan)
    if (this.seed >= featureSeedsMin) {
      await this.stepWhile(() => true, clock.monotonicMs() + 500)
      this.checkLimits()
    }
    await this.checkPromptness(channel, last)
    const finite = plan.queues.map(({ ttlMs }) => ttlMs).filter((ttlMs) => ttlMs < Number.POSITIVE_INFINITY)
    const longestMs = Math.max(0, ...finite) * (plan.queues.length + 1) + 10_000
    const { delaysMs } = plan.hardships
    const hiddenMs = Math.max(0, ...delaysMs) + Math.max(0, ...plan.features.keptBackMs)
    // Where the wall clock is set, what is due may be half a minute late.
    const hiddenAtMostMs = hiddenMs > 0 ? (hiddenMs + 30_000) * (plan.queues.length + 1) : 0
    await this.stepWhile(() => true, clock.monotonicMs() + longestMs + hiddenAtMostMs)
    await this.count(channel, last)
    this.checkHidden(last)
    for (const { name, ttlMs } of plan.queues) {
      const ready = last.counts.get(name)?.ready ?? 0
      if (ready > 0 && ttlMs < Number.POSITIVE_INFINITY) {
        throw new Violation('I17', `${ready} messages of ${name} stay there although their time is over`)
      }
    }
    last.begin(channel, [...letters.queues.keys()])
    await this.stepWhile(() => true, clock.monotonicMs() + 30_000 + hiddenAtMostMs)
    const left = letters.leftOver()
    if (left !== null) throw new Violation('I17', `#${left.id} is in ${left.place.key}, and nobody gets it`)
    await this.count(channel, last)
    this.checkHidden(last)
    for (const [name, { ready }] of last.counts) {
      if (ready > 0) throw new Violation('I17', `${ready} messages of ${name} are left, and nobody gets them`)
    }
    await this.close()
    await this.examine()
  }

  /** What is due appears: within 16 ms if nothing else is to be done, and the time that its reading takes. */
  private async checkPromptness(channel: Channel, last: LastReader): Promise<void> {
    const { plan, clock, letters } = this
    if (plan.hardships.delaysMs.length === 0 || plan.clockTrouble > 0) return
    const graceMs = 1 + 40 * plan.diskLatencyMs
    for (const waitMs of [100, 700, 2_500]) {
      await this.stepWhile(() => true, clock.monotonicMs() + waitMs)
      await this.count(channel, last)
      for (const [queue, { hidden }] of last.counts) {
        const atMost = letters.hiddenAtMost(queue, clock.realtimeMs(), graceMs)
        if (hidden > atMost)
          throw new Violation('I17', `${hidden} messages of ${queue} are hidden, and ${atMost} may be`)
      }
    }
  }

  private checkHidden(last: LastReader): void {
    for (const [queue, { hidden }] of last.counts) {
      if (hidden > 0) throw new Violation('I17', `${hidden} messages of ${queue} do not appear`)
    }
  }

  private async count(channel: Channel, last: LastReader): Promise<void> {
    last.counts = new Map()
    channel.execute(0, { type: 'leveret.queues' })
    await this.stepWhile(() => last.counts.size === 0, this.clock.monotonicMs() + 10_000)
  }
}

/** Takes and acknowledges whatever there is, from all queues at a time. */
class LastReader implements ChannelEvents {
  counts: ReadonlyMap<string, { readonly ready: number; readonly hidden: number }> = new Map()
  private readonly tags: number[] = []
  private channel!: Channel

  begin(channel: Channel, queues: readonly string[]): void {
    this.channel = channel
    channel.execute(0, { type: 'basic.qos', prefetchSize: 0, prefetchCount: 3, global: false })
    for (const queue of queues) {
      const common = { noAck: false, exclusive: false, arguments: emptyTable }
      channel.execute(0, { type: 'basic.consume', queue, consumerTag: queue, ...common })
    }
  }

  replied(_id: number, reply: Reply): void {
    if (reply.type !== 'leveret.queues-ok') return
    this.counts = new Map(reply.queues.map(({ name, ready, delayed }) => [name, { ready, hidden: delayed }]))
  }

  delivered(_consumerTag: string, deliveryTag: number): void {
    this.tags.push(deliveryTag)
  }

  confirmed(): void {}
  returned(): void {}
  cancelled(): void {}
  /** Then nobody gets the rest, which is what is looked at. */
  failed(): void {}

  /** Only now: what is being delivered is not to be settled yet. */
  flush(): void {
    for (const tag of this.tags.splice(0)) this.channel.ack(tag, false)
  }
}

function hasAll({ snapshot }: Loss, paths: readonly string[]): boolean {
  return paths.every((path) => snapshot.has(path))
}

function isPage(path: string): boolean {
  return path.endsWith('.idx')
}
