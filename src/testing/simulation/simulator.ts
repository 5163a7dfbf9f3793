/**
 * One seed, one history: a broker lives, is crashed at some operation of its disk (or closed), and lives again on what is
 * left, while clients use it and every promise is checked.
 */

import { AmqpDriver } from '../../client/amqp-driver/amqp-driver.ts'
import { assert } from '../../lib/assert.ts'
import { Prng } from '../../lib/prng.ts'
import type { Driver, Login, Session } from '../../model/channel.ts'
import { emptyTable } from '../../model/field-table.ts'
import { AmqpServer } from '../../server/amqp-server.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { Checker, type Match } from './checker.ts'
import { Client } from './client.ts'
import { crashDisk, cutPower, endProcess, loseSomething } from './crash.ts'
import { DurableState, inOrder } from './facts.ts'
import { withFeatures } from './features.ts'
import { mixForks } from './forks.ts'
import { dataDirectory, type OpenedBroker, openBroker } from './found-state.ts'
import { FrameHistory, readNumbers } from './frame-history.ts'
import { LastClient } from './last-client.ts'
import { Ledger } from './ledger.ts'
import { atLeast, isStored, makeLevel, SyncWatch, safeLsn } from './level.ts'
import { type Ending, makePlan, memoryBytesPlenty, type Plan, pick } from './plan.ts'
import { type Candidate, Reference } from './reference.ts'
import { SimProcess } from './sim-process.ts'
import { Trace, Violation } from './trace.ts'
import { Trouble } from './trouble.ts'
import { Witness } from './witness.ts'

export interface SimulationOptions {
  /** Gets every line of the history; null for speed. */
  readonly print: ((line: string) => void) | null
  /** Errors that nobody caught, such as rejected promises; what is returned is forgotten. */
  readonly takeUncaught: () => unknown
}

export interface SimulationResult {
  readonly seed: number
  readonly hash: string
  readonly transport: string
  readonly violation: Violation | null
  readonly crashes: number
  readonly recoveries: number
  /** Crashes that were only tried on a copy of the disk. */
  readonly probes: number
  /** Copies of a disk that were damaged. */
  readonly damages: number
  readonly diskOperations: number
  readonly publishes: number
  /** Publishes whose maker was told that they are stored. */
  readonly confirms: number
}

/** Runs the history of one seed to its end or to the first violation. */
export async function simulate(seed: number, options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(seed, options)
  try {
    await simulation.run()
  } catch (error) {
    simulation.trace.violated(error instanceof Violation ? error : unexpected(error))
  }
  return simulation.result()
}

class Simulation {
  readonly trace: Trace
  private readonly seed: number
  private readonly options: SimulationOptions
  private readonly prng: Prng
  private readonly plan: Plan
  private readonly syncWatch: SyncWatch
  private readonly clock = new SimClock()
  private readonly disk: SimDisk
  private readonly trouble: Trouble
  private readonly network: SimNetwork
  private readonly machine = new SimMachine()
  private readonly ledger: Ledger
  private readonly reference = new Reference()
  private readonly checker: Checker
  private process: SimProcess | null = null
  private opened: OpenedBroker | null = null
  private witness: Witness | null = null
  private server: AmqpServer | null = null
  private clientProcess: SimProcess | null = null
  private clients: Client[] = []
  /** The last life ended with a close that was carried out. */
  private isClosed = false
  private wantsProbe = false
  private isLastLife = false
  /** What the disk may hold while no broker is open on it. */
  private candidates: readonly Candidate[] = [{ lsn: 0, state: new DurableState() }]
  private openLsn = 1
  /** No power cut has come since the last broker lived, nor a failed sync, after which it may look like one. */
  private isPowered = true
  /** What the disk must hold at least, if it has not. */
  private safeLsn = 0
  private durableLsn = 0
  private match: Match | null = null
  private readonly history = new FrameHistory()
  private numbers: ReadonlyMap<string, number> = new Map()
  private crashes = 0
  private recoveries = 0
  private probes = 0
  private damages = 0

  constructor(seed: number, options: SimulationOptions) {
    this.seed = seed
    this.options = options
    this.prng = new Prng(seed)
    this.plan = withFeatures(makePlan(this.prng, makeLevel(seed)), seed)
    this.syncWatch = new SyncWatch(this.plan.level, this.plan.diskLatencyMs)
    this.trace = new Trace(this.clock, options.print)
    this.disk = new SimDisk(this.clock, this.prng.nextU32(), { latencyMsMax: this.plan.diskLatencyMs })
    this.trouble = new Trouble(this.disk, this.prng, this.trace)
    this.network = new SimNetwork(this.clock, new Prng(this.prng.nextU32()), {
      latencyMsMax: this.plan.networkLatencyMs,
    })
    this.ledger = new Ledger(this.trace)
    this.checker = new Checker(this.ledger, this.plan.storage)
  }

  result(): SimulationResult {
    return {
      seed: this.seed,
      hash: this.trace.hash,
      transport: this.plan.transport,
      violation: this.trace.violation,
      crashes: this.crashes,
      recoveries: this.recoveries,
      probes: this.probes,
      damages: this.damages,
      diskOperations: this.disk.operations,
      publishes: this.ledger.publications.length,
      confirms: this.ledger.publications.filter(({ outcome }) => outcome === 'confirmed').length,
    }
  }

  async run(): Promise<void> {
    this.trace.add(`seed ${this.seed}: ${JSON.stringify(this.plan)}`)
    for (let life = 1; life <= this.plan.incarnations; life++) {
      const ending = pick(this.prng, this.plan.endings)
      this.trace.add(`-- life ${life}, to end with ${ending}`)
      this.trouble.plan(ending)
      this.isClosed = false
      if (await this.open()) await this.live(ending)
      else this.forgetCleanEnd()
      this.trouble.calm()
      await this.examine()
    }
    this.trace.add('-- the last life, without trouble')
    await this.lastLife()
  }

  // ------------------------------------------------------------------------------------------------- a life

  /** Opens the broker on what is there; false if it did not get that far. */
  private async open(): Promise<boolean> {
    const { plan, clock, disk, network, machine, prng, reference, trace } = this
    this.process ??= new SimProcess(clock, disk, network, machine, '127.0.0.1', prng.nextU32())
    const outcome = await this.settled(
      openBroker(this.process, plan.storage, plan.memoryBytesMax, plan.level.deliverAfter),
    )
    if (outcome === 'crashed') {
      this.crash()
      return false
    }
    if (outcome instanceof Error) {
      trace.add(`open failed: ${outcome.message}`)
      if (this.trouble.faults === 0) throw unexpected(outcome)
      this.isPowered = false
      this.endProcess()
      return false
    }
    this.opened = outcome
    this.syncWatch.reset()
    this.recoveries++
    this.ledger.life++
    const { broker, store } = outcome
    if (this.match !== null) {
      adoptFlags(this.match)
      if (broker.report.clean !== this.match.found.isClean)
        throw new Violation('I14', 'two recoveries of one disk differ')
      reference.restart(this.match.state)
      const reused = this.history.learn(this.numbers)
      if (reused !== null) throw new Violation('I12', `${reused} stands for something else than before`)
    }
    trace.add(
      `opened at frame ${store.openLsn}${broker.report.clean ? '' : ', not clean'}: ${broker.report.messages} messages`,
    )
    for (const note of broker.report.notes) trace.add(`note: ${note}`)
    const witness = new Witness(broker, {
      ledger: this.ledger,
      reference,
      trace,
      frames: store,
      deliverAfter: plan.level.deliverAfter,
      isStored: (content) => isStored(this.disk, plan.level.durability, this.disk.paths().filter(isInLog), content),
      isOnPlatter: (content) => isStored(this.disk, 'fsync', this.disk.paths().filter(isSegmentOrCold), content),
      promised: () => this.promised(),
    })
    broker.onFailure((error) => {
      trace.add(`the broker failed: ${error.message}`)
      witness.hasFailed = true
      if (this.trouble.faults === 0) trace.violated(unexpected(error))
    })
    this.witness = witness
    this.isPowered = true
    if (plan.transport === 'amqp') await this.serve(this.process, witness)
    return true
  }

  /** Clients are on another machine, which does not die with this one. */
  private async serve(process: SimProcess, driver: Driver): Promise<void> {
    const { prng, clock, disk, network, trace } = this
    const server = new AmqpServer(process, driver, {
      heartbeatSeconds: pick(prng, [0, 1, 10]),
      frameBytesMax: pick(prng, [4096, 4096, 131_072]),
      onError: (error) => trace.violated(unexpected(error)),
    })
    this.server = server
    this.clientProcess = new SimProcess(clock, disk, network, new SimMachine(), '127.0.0.1', prng.nextU32())
    const outcome = await this.settled(server.listen('127.0.0.1', 5672))
    if (outcome instanceof Error) throw unexpected(outcome)
  }

  /** An opening that was cut off may count as a run of which nobody knows what it handed out. */
  private forgetCleanEnd(): void {
    this.candidates = this.candidates.map(({ lsn, state }) => {
      const copy = state.copy()
      copy.isClean = false
      return { lsn, state: copy }
    })
  }

  private async live(ending: Ending): Promise<void> {
    const { plan, prng } = this
    this.startClients(plan.clients)
    const isOver = (): boolean =>
      this.trouble.isCrashDue || this.witness?.hasFailed === true || this.clients.every(isDone)
    await this.stepWhile(() => !isOver(), this.clock.monotonicMs() + 120_000)
    // What is under way gets some time, or none.
    const graceMs = pick(prng, [0, 2, 5000])
    await this.stepWhile(() => !this.trouble.isCrashDue, this.clock.monotonicMs() + graceMs)
    for (const client of this.clients) client.stop()
    if (graceMs >= 5000 && !this.trouble.isCrashDue && this.witness?.hasFailed !== true) await this.checkLiveness()
    await this.end(ending)
  }

  /** Once the disk takes writes again and nobody asks for anything, every answer comes, and nobody stays blocked. */
  private async checkLiveness(): Promise<void> {
    const { clock } = this
    const goesOn = (): boolean => !this.trouble.isCrashDue && this.witness?.hasFailed !== true
    // A write is tried again each second, and may fail a dozen times.
    await this.stepWhile(() => goesOn() && this.describeWaiting() !== null, clock.monotonicMs() + 60_000)
    const waiting = this.describeWaiting()
    if (goesOn() && waiting !== null) throw new Violation('liveness', waiting)
  }

  private describeWaiting(): string | null {
    const { reference, opened, clients, plan } = this
    if (opened === null) return null
    const { openLsn, durableLsn } = opened.store
    if (durableLsn !== openLsn - 1) return `frame ${openLsn - 1} does not become durable`
    if (reference.hasFactsAfter(durableLsn)) return 'an acknowledgement does not reach the disk'
    // Behind a connection that fell silent nobody hears anything; and memory may be short too, which is not the disk's fault.
    const mayBeBlocked = plan.networkTrouble > 0 || plan.memoryBytesMax < memoryBytesPlenty
    const blocked = mayBeBlocked ? undefined : clients.find((client) => client.waitsForDisk)
    if (blocked !== undefined) return `client ${blocked.name} stays blocked`
    return reference.describeWaiting()
  }

  private async end(ending: Ending): Promise<void> {
    const { store } = this.opened as OpenedBroker
    if (this.trouble.isCrashDue || ending === 'power' || ending === 'process') this.crash()
    else if (this.witness?.hasFailed === true) await this.afterFailure()
    else await this.close()
    this.openLsn = store.openLsn
    this.candidates = this.reference.candidates(store.durableLsn, store.openLsn)
    this.safeLsn = safeLsn(store, this.isPowered, this.witness?.hasFailed === true)
    this.opened = null
    this.witness = null
  }

  private async close(): Promise<void> {
    if (this.server !== null && this.prng.chance(0.8)) {
      if ((await this.settled(this.server.close())) === 'crashed') return this.crash()
    }
    const outcome = await this.settled((this.witness as Witness).close())
    if (outcome === 'crashed') return this.crash()
    if (outcome instanceof Error) {
      this.trace.add(`close failed: ${outcome.message}`)
      if (this.trouble.faults === 0) throw unexpected(outcome)
      this.isPowered = false
    } else this.isClosed = true
    this.endProcess()
  }

  /** Nothing may be said any more; the host process may open the folder again, or all may end. */
  private async afterFailure(): Promise<void> {
    if (this.prng.chance(0.4)) return this.crash()
    if (this.server !== null && (await this.settled(this.server.close())) === 'crashed') return this.crash()
    const outcome = await this.settled((this.witness as Witness).close())
    if (outcome === 'crashed') return this.crash()
    if (!(outcome instanceof Error))
      throw new Violation('I9', 'close says that all is stored after the storage had failed')
    this.trace.add(`close failed: ${outcome.message}`)
    if (this.prng.chance(0.5)) this.endProcess()
    else this.bury()
  }

  private crash(): void {
    const { prng, disk } = this
    const isProcessOnly = this.trouble.isProcessOnly ?? prng.chance(0.3)
    this.crashes++
    this.endProcess()
    if (isProcessOnly) this.trace.add('CRASH process: the page cache survives')
    else {
      this.isPowered = false
      this.trace.add(`CRASH ${cutPower(disk, prng)}`)
      this.machine.reboot()
    }
  }

  private endProcess(): void {
    this.process?.kill()
    this.process = null
    endProcess(this.disk)
    this.bury()
  }

  /** What is left of the broker is heard no more. */
  private bury(): void {
    if (this.witness !== null) this.witness.isDead = true
    for (const client of this.clients) client.stop()
    this.clients = []
    this.server = null
    this.clientProcess?.kill()
    this.clientProcess = null
  }

  // ------------------------------------------------------------------------------------------------- steps

  /** Lets things happen while `goesOn`, at most until `untilMs`. */
  private async stepWhile(goesOn: () => boolean, untilMs: number): Promise<void> {
    while (goesOn() && (await this.step(untilMs)));
  }

  private async step(untilMs: number): Promise<boolean> {
    const happened = await this.clock.step(untilMs)
    const uncaught = this.options.takeUncaught()
    if (this.trace.violation !== null) throw this.trace.violation
    if (uncaught != null) throw unexpected(uncaught)
    const durableLsn = this.opened?.store.durableLsn ?? 0
    if (durableLsn !== this.durableLsn) this.noteDurable(durableLsn)
    this.checkSyncs()
    if (this.wantsProbe) {
      this.wantsProbe = false
      if (!this.trouble.isCrashDue && !this.isLastLife) await this.probe()
    }
    return happened
  }

  /** Whoever holds the process up holds its timers up. */
  private checkSyncs(): void {
    const { opened, plan, syncWatch, clock } = this
    if (opened === null || plan.clockTrouble > 0 || this.witness?.hasFailed === true) return
    const lsn = syncWatch.overdueLsn(opened.store, clock.monotonicMs())
    if (lsn > 0) throw new Violation('liveness', `frame ${lsn} was written long ago and is not durable`)
  }

  private noteDurable(durableLsn: number): void {
    this.durableLsn = durableLsn
    if (this.prng.chance(this.plan.probeChance / 2)) this.wantsProbe = true
  }

  /** Steps until the promise is settled or a crash is due. */
  private async settled<T>(promise: Promise<T>): Promise<T | Error | 'crashed'> {
    let outcome: T | Error | null = null
    let isSettled = false
    promise.then(
      (value) => {
        outcome = value
        isSettled = true
      },
      (error: unknown) => {
        outcome = error as Error
        isSettled = true
      },
    )
    await this.stepWhile(() => !isSettled && !this.trouble.isCrashDue, this.clock.monotonicMs() + 600_000)
    if (this.trouble.isCrashDue) return 'crashed'
    if (!isSettled) throw new Violation('liveness', 'the broker does not open or close within ten minutes')
    return outcome as T | Error
  }

  // ------------------------------------------------------------------------------------------------- checks

  private promised(): void {
    if (this.prng.chance(this.plan.probeChance)) this.wantsProbe = true
  }

  /** What if the power went now? Tried on a copy; the history goes on. */
  private async probe(): Promise<void> {
    const { opened, prng, reference } = this
    if (opened === null) return
    this.probes++
    const clock = new SimClock()
    const copy = this.disk.clone(clock, prng.nextU32())
    const { how, isProcessOnly } = crashDisk(copy, prng)
    const { store } = opened
    this.trace.add(`probe: ${how}`)
    const candidates = reference.candidates(store.durableLsn, store.openLsn)
    const least = safeLsn(store, isProcessOnly, this.witness?.hasFailed === true)
    await this.checker.check(clock, copy, atLeast(candidates, least), store.openLsn)
  }

  /** The broker is gone; is what it promised on the disk? */
  private async examine(): Promise<void> {
    const { prng, disk, trace, checker } = this
    const clock = new SimClock()
    const candidates = this.isPowered ? atLeast(this.candidates, this.safeLsn) : this.candidates
    this.match = await checker.check(clock, disk.clone(clock, prng.nextU32()), candidates, this.openLsn)
    trace.add(`examined: the state after frame ${this.match.lsn}`)
    if (prng.chance(0.8)) {
      const readClock = new SimClock()
      this.numbers = await readNumbers(readClock, disk.clone(readClock, prng.nextU32()))
    } else this.numbers = new Map()
    if (this.isClosed && !this.match.found.isClean) throw new Violation('I7', 'a clean close is not taken for one')
    if (this.isClosed && this.match.lsn > 0) {
      await this.tryDamage(this.match)
      await this.tryLoss(this.match)
      if (prng.chance(0.1)) await this.tryFork()
    }
    if (!prng.chance(0.25)) return
    const secondClock = new SimClock()
    const second = disk.clone(secondClock, prng.nextU32())
    await checker.checkTwice(secondClock, second, this.match.found, (copy) => void crashDisk(copy, prng))
  }

  /** After a clean end every frame is proven by the one behind it, so one bad byte anywhere must not go unnoticed. */
  private async tryDamage(match: Match): Promise<void> {
    const { prng, disk, checker, trace } = this
    for (let tries = 0; tries < 2; tries++) {
      const clock = new SimClock()
      const copy = disk.clone(clock, prng.nextU32())
      const path = pick(prng, copy.paths().filter(isPromise))
      const offset = prng.below(copy.contents(path).length)
      copy.flipBit(path, offset, prng.below(8))
      this.damages++
      const damage = `a bit at ${offset} of ${path} turned over`
      trace.add(`${damage}: ${await checker.checkDamaged(clock, copy, match.state, damage, 1)}`)
    }
  }

  /** More than a bit: a sector, a whole file. What is lost must be said, however much it is. */
  private async tryLoss(match: Match): Promise<void> {
    const { disk, checker, trace, seed, recoveries } = this
    // With a generator of its own: it came later, and what seeds had drawn before is to stay.
    const prng = new Prng((seed * 0x9e3779b1 + recoveries) >>> 0)
    const lost = loseSomething(disk, prng, isPromise)
    if (lost === null) return
    const { snapshot, damage } = lost
    const clock = new SimClock()
    const copy = disk.clone(clock, 1)
    copy.restore(snapshot)
    this.damages++
    trace.add(`${damage}: ${await checker.checkDamaged(clock, copy, match.state, damage, Number.POSITIVE_INFINITY)}`)
  }

  private async tryFork(): Promise<void> {
    const { disk, checker, trace, plan } = this
    const mixture = await mixForks(disk, plan.storage, isSegment)
    if (mixture === null) return
    this.damages++
    trace.add(`${mixture.path} comes from another history`)
    const clock = new SimClock()
    const copy = mixture.disk.clone(clock, 1)
    await checker.checkRefused(clock, copy, `${mixture.path} was replaced by that of another history`)
  }

  // ------------------------------------------------------------------------------------------------- clients

  private startClients(count: number): void {
    const { plan, prng, ledger, trace } = this
    const process = this.clientProcess ?? (this.process as SimProcess)
    const { clock } = process
    const disturb = (): void => this.disturb()
    this.clients = []
    for (let number = 1; number <= count; number++) {
      const driver = this.server === null ? (this.witness as Driver) : new AmqpDriver(process, address)
      const parts = { driver, clock, prng: new Prng(prng.nextU32()), plan, ledger, trace, disturb }
      const client = new Client(`c${this.recoveries}${number}`, parts, plan.steps)
      this.clients.push(client)
      client.start()
    }
  }

  private disturb(): void {
    const { prng, network, plan, clock } = this
    if (prng.chance(plan.clockTrouble)) {
      if (prng.chance(0.5)) clock.jumpRealtime((prng.next() - 0.5) * 7_200_000)
      else clock.pause(prng.below(5000))
    }
    if (plan.transport === 'direct' || !prng.chance(plan.networkTrouble)) return
    if (prng.chance(0.7)) {
      if (network.resetOne()) this.trace.add('a connection is reset')
    } else if (network.silenceOne()) this.trace.add('a connection falls silent')
  }

  // ------------------------------------------------------------------------------------------------- the end

  /** No more trouble: everything drains, publishers are served, and the folder becomes small again. */
  private async lastLife(): Promise<void> {
    this.isLastLife = true
    assert(await this.open(), 'without trouble the broker opens')
    const drain = new LastClient(this.ledger, this.trace)
    const { reference } = this
    const session = await this.need(this.witness?.openSession(login, drain) as Promise<Session>)
    drain.begin(session, new Prng(this.prng.nextU32()), [...reference.queues.keys()], this.plan.storage.segmentBytesMax)
    await this.stepWhile(() => !drain.isDone, this.clock.monotonicMs() + 60_000)
    if (!drain.isDone) throw new Violation('liveness', 'a confirm or an answer does not come within a minute')
    if (reference.messageCount > 0) throw new Violation('liveness', `${reference.messageCount} messages cannot be got`)
    await this.stepWhile(() => true, this.clock.monotonicMs() + 10_000)
    const segments = this.disk.paths().filter(isInLog)
    if (segments.length > 3) throw new Violation('liveness', `nothing lives, and ${segments.length} segments are there`)
    await this.end('close')
    await this.examine()
  }

  private async need<T>(promise: Promise<T>): Promise<T> {
    const outcome = await this.settled(promise)
    if (outcome instanceof Error) throw unexpected(outcome)
    return outcome as T
  }
}

const address = 'amqp://guest:guest@127.0.0.1:5672/'
const login: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }

function isInLog(path: string): boolean {
  return path.startsWith(`${dataDirectory}/log/`)
}

function isSegment(path: string): boolean {
  return isInLog(path) && path.endsWith('.log')
}

function isSegmentOrCold(path: string): boolean {
  return isInLog(path) || path.startsWith(`${dataDirectory}/cold/`)
}

/** Files whose every byte says something. */
function isPromise(path: string): boolean {
  return isSegment(path) || path.endsWith('.ckpt') || path.endsWith('.idx')
}

function isDone(client: Client): boolean {
  return client.stepsLeft <= 0
}

/** Recovery decides over redelivered flags; what it decided holds from then on. */
function adoptFlags({ state, found }: Match): void {
  for (const [name, queue] of state.queues) {
    const messages = found.queues.get(name)?.messages ?? []
    let at = 0
    for (const entry of inOrder(queue.entries.values())) entry.handedOut = messages[at++]?.redelivered === true
  }
}

function unexpected(error: unknown): Violation {
  return error instanceof Violation
    ? error
    : new Violation('exception', error instanceof Error ? (error.stack ?? error.message) : String(error))
}
