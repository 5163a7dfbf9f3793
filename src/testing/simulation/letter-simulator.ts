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
import { assert } from '../../lib/assert.ts'
import { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import { emptyTable } from '../../model/field-table.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { isHonest } from './checker.ts'
import { crashDisk, cutPower, endProcess, type Loss, loseSomething } from './crash.ts'
import { type OpenedBroker, openBroker, readState, silentSession } from './found-state.ts'
import type { Letter, Station } from './letter.ts'
import { declareAll, LetterClient, Pressure } from './letter-client.ts'
import { type LetterPlan, makeLetterPlan } from './letter-plan.ts'
import { LetterPort } from './letter-port.ts'
import { Letters } from './letters.ts'
import { featureSeedsMin, safeLsn } from './level.ts'
import { Lodger } from './lodger.ts'
import { type Ending, pick } from './plan.ts'
import { SimProcess } from './sim-process.ts'
import type { SimulationOptions, SimulationResult } from './simulator.ts'
import { Trace, Violation } from './trace.ts'
import { Trouble } from './trouble.ts'

/** Runs the history of one seed to its end or to the first violation. */
export async function simulateLetters(seed: number, options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new LetterSimulation(seed, options)
  try {
    await simulation.run()
  } catch (error) {
    simulation.trace.violated(asViolation(error))
  }
  return simulation.result()
}

class LetterSimulation {
  readonly trace: Trace
  private readonly seed: number
  private readonly options: SimulationOptions
  private readonly prng: Prng
  private readonly plan: LetterPlan
  private readonly clock = new SimClock()
  private readonly disk: SimDisk
  private readonly trouble: Trouble
  private readonly network: SimNetwork
  private readonly machine = new SimMachine()
  private readonly letters: Letters
  private process: SimProcess | null = null
  private opened: OpenedBroker | null = null
  private port: LetterPort | null = null
  private clients: LetterClient[] = []
  private lodger: Lodger | null = null
  private places: ReadonlyMap<Letter, Station> = new Map()
  /** What must be there, whatever happens to the machine. */
  private durableLsn = 0
  /** What was there when the disk was last looked at. */
  private foundLsn = 0
  /** What must be there as long as the power stays on. */
  private safeLsn = 0
  /** No power cut has come since the last broker lived, nor a failed sync, after which it may look like one. */
  private isPowered = true
  /** The broker has given up: its disk failed. */
  private hasFailed = false
  /** The last life ended with a close that was carried out. */
  private isClosed = false
  private wantsProbe = false
  private isLastLife = false
  private crashes = 0
  private recoveries = 0
  private probes = 0
  private damages = 0

  constructor(seed: number, options: SimulationOptions) {
    this.seed = seed
    this.options = options
    this.prng = new Prng(seed)
    this.plan = makeLetterPlan(this.prng, seed)
    this.trace = new Trace(this.clock, options.print)
    this.disk = new SimDisk(this.clock, this.prng.nextU32(), { latencyMsMax: this.plan.diskLatencyMs })
    this.trouble = new Trouble(this.disk, this.prng, this.trace)
    this.network = new SimNetwork(this.clock, new Prng(this.prng.nextU32()))
    this.letters = new Letters(this.plan.queues, this.trace, this.plan.clockTrouble === 0)
  }

  result(): SimulationResult {
    return {
      seed: this.seed,
      hash: this.trace.hash,
      transport: 'direct',
      violation: this.trace.violation,
      crashes: this.crashes,
      recoveries: this.recoveries,
      probes: this.probes,
      damages: this.damages,
      diskOperations: this.disk.operations,
      publishes: this.letters.all.length,
      confirms: this.letters.all.filter(({ isConfirmed }) => isConfirmed).length,
    }
  }

  async run(): Promise<void> {
    this.trace.add(`letters ${this.seed}: ${JSON.stringify(this.plan)}`)
    for (let life = 1; life <= this.plan.incarnations; life++) {
      const ending = pick(this.prng, this.plan.endings)
      this.trace.add(`-- life ${life}, to end with ${ending}`)
      this.isClosed = false
      this.trouble.plan(ending)
      if (await this.open()) await this.live(ending)
      this.trouble.calm()
      await this.examine()
    }
    this.trace.add('-- the last life, without trouble')
    await this.lastLife()
  }

  // ------------------------------------------------------------------------------------------------- a life

  private async open(): Promise<boolean> {
    const { plan, clock, disk, network, machine, prng, letters, trace } = this
    this.process = new SimProcess(clock, disk, network, machine, '127.0.0.1', prng.nextU32())
    const { level, memoryBytesMax } = plan.hardships
    const opened = await this.settled(
      openBroker(this.process, plan.storage, memoryBytesMax, level.deliverAfter).catch((error: unknown) =>
        this.forgive(error),
      ),
    )
    if (opened === null) {
      if (this.trouble.isCrashDue) this.crash()
      else {
        this.isPowered = false
        this.end(false)
        endProcess(this.disk)
      }
      return false
    }
    this.opened = opened
    this.isPowered = true
    this.hasFailed = false
    this.recoveries++
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

  /** Whose disk failed may fail, too. */
  private forgive(error: unknown): null {
    if (this.trouble.faults === 0) this.trace.violated(asViolation(error))
    else this.trace.add(`failed: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }

  private async live(ending: Ending): Promise<void> {
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
    const opening = (this.port as LetterPort).openSession(login, events)
    return await this.settled(opening.catch((error: unknown) => this.forgive(error)))
  }

  private async close(): Promise<void> {
    const closing = (this.port as LetterPort).close().then(
      () => true,
      (error: unknown) => this.forgive(error),
    )
    if ((await this.settled(closing)) === null) return this.crash()
    this.isClosed = true
    this.end(true)
    endProcess(this.disk)
  }

  private crash(): void {
    this.crashes++
    const isProcessOnly = this.trouble.isProcessOnly ?? this.prng.chance(0.3)
    if (!isProcessOnly) this.isPowered = false
    this.end(isProcessOnly)
    if (isProcessOnly) {
      this.trace.add('CRASH process: the page cache survives')
      endProcess(this.disk)
      return
    }
    this.trace.add(`CRASH ${cutPower(this.disk, this.prng)}`)
    this.machine.reboot()
  }

  /** What is left of the broker is heard no more. */
  private end(isPowered: boolean): void {
    if (this.opened !== null) {
      const { store } = this.opened
      this.durableLsn = store.durableLsn
      this.safeLsn = safeLsn(store, isPowered, this.hasFailed)
    }
    this.opened = null
    if (this.port !== null) this.port.isDead = true
    this.port = null
    for (const client of this.clients) client.stop()
    this.lodger?.stop()
    this.lodger = null
    this.clients = []
    this.process?.kill()
    this.process = null
  }

  // ------------------------------------------------------------------------------------------------- steps

  private async stepWhile(goesOn: () => boolean, untilMs: number): Promise<void> {
    while (goesOn() && (await this.step(untilMs)));
  }

  private async step(untilMs: number): Promise<boolean> {
    const happened = await this.clock.step(untilMs)
    this.letters.latestMs = Math.max(this.letters.latestMs, this.clock.realtimeMs())
    const uncaught = this.options.takeUncaught()
    if (this.trace.violation !== null) throw this.trace.violation
    if (uncaught != null) throw asViolation(uncaught)
    if (this.wantsProbe && this.opened !== null && !this.trouble.isCrashDue && !this.isLastLife) await this.probe()
    this.wantsProbe = false
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
    this.letters.latestMs = Math.max(this.letters.latestMs, this.clock.realtimeMs())
  }

  /** Null: a crash is due before it is settled. */
  private async settled<T>(promise: Promise<T>): Promise<T | null> {
    let isSettled = false
    const mark = (): void => {
      isSettled = true
    }
    promise.then(mark, mark)
    await this.stepWhile(() => !isSettled && !this.trouble.isCrashDue, this.clock.monotonicMs() + 600_000)
    if (this.trouble.isCrashDue) return null
    if (!isSettled) throw new Violation('liveness', 'the broker does not open or close within ten minutes')
    return await promise
  }

  // ------------------------------------------------------------------------------------------------- checks

  /** What if the power went now? Tried on a copy; the history goes on. */
  private async probe(): Promise<void> {
    this.probes++
    const clock = lookingClock()
    const copy = this.disk.clone(clock, this.prng.nextU32())
    const { how } = crashDisk(copy, this.prng)
    this.trace.add(`probe: ${how}`)
    const { durableLsn } = (this.opened as OpenedBroker).store
    this.letters.check(await readState(clock, copy, this.plan.storage), durableLsn)
  }

  /** The broker is gone; is what it promised on the disk? */
  private async examine(): Promise<void> {
    const clock = lookingClock()
    const copy = this.disk.clone(clock, this.prng.nextU32())
    const least = this.isPowered ? this.safeLsn : this.durableLsn
    this.foundLsn = least
    this.places = this.letters.check(await readState(clock, copy, this.plan.storage), least)
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
    const clock = lookingClock()
    const copy = disk.clone(clock, 1)
    copy.restore(lost.snapshot)
    const found = await readState(clock, copy, plan.storage, true).catch((error: unknown) => {
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
  private async trySalvage({ snapshot, damage }: Loss): Promise<void> {
    const { disk, letters, plan, places } = this
    const clock = lookingClock()
    const copy = disk.clone(clock, 1)
    copy.restore(snapshot)
    letters.checkRescued(await readState(clock, copy, { ...plan.storage, salvage: true }), places, damage)
    this.trace.add(`${damage}: all is found again`)
  }

  /** Everything expires in its time, everything else can be got, and then nothing is left. */
  private async lastLife(): Promise<void> {
    const { letters, plan, clock } = this
    this.isLastLife = true
    assert(await this.open(), 'without trouble the broker opens')
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

/** Files whose every byte says something. */
function isPromise(path: string): boolean {
  return /\.(log|ckpt|idx)$/.test(path)
}

function hasAll({ snapshot }: Loss, paths: readonly string[]): boolean {
  return paths.every((path) => snapshot.has(path))
}

function isPage(path: string): boolean {
  return path.endsWith('.idx')
}

/** Whoever looks at a disk must not see anything expire meanwhile: for him it is long ago. */
function lookingClock(): SimClock {
  const clock = new SimClock()
  clock.jumpRealtime(-1_000_000_000)
  return clock
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return new Violation('exception', error instanceof Error ? (error.stack ?? error.message) : String(error))
}
