/**
 * One seed, one history: a broker lives, is crashed at some operation of its disk (or closed), and lives again on what is
 * left, while clients use it and every promise is checked.
 */

import { AmqpDriver } from '../../client/amqp-driver/amqp-driver.ts'
import { Prng } from '../../lib/prng.ts'
import type { Driver, Login, Session } from '../../model/channel.ts'
import { emptyTable } from '../../model/field-table.ts'
import { AmqpServer } from '../../server/amqp-server.ts'
import { SimMachine } from '../sim-host.ts'
import { Checker, type Match } from './checker.ts'
import { Client } from './client.ts'
import { crashDisk, isPromise, loseSomething } from './crash.ts'
import type { Candidate } from './fact-journal.ts'
import { DurableState, inOrder } from './facts.ts'
import { withFeatures } from './features.ts'
import { mixForks } from './forks.ts'
import { dataDirectory, type OpenedBroker } from './found-state.ts'
import { FrameHistory, readNumbers } from './frame-history.ts'
import { LastClient } from './last-client.ts'
import { Ledger } from './ledger.ts'
import { atLeast, isStored, makeLevel, SyncWatch, safeLsn } from './level.ts'
import { type Ending, makePlan, memoryBytesPlenty, type Plan, pick } from './plan.ts'
import { Reference } from './reference.ts'
import { SimProcess } from './sim-process.ts'
import { copyToLook, type DiskCopy, Simulation, type SimulationCounts, type SimulationResult } from './simulation.ts'
import { asViolation, type HistoryOptions, Violation } from './trace.ts'
import { Witness } from './witness.ts'

/** Runs the history of one seed to its end or to the first violation. */
export async function simulate(seed: number, options: HistoryOptions): Promise<SimulationResult> {
  return await new BrokerSimulation(seed, options).play()
}

class BrokerSimulation extends Simulation<Plan> {
  private readonly syncWatch: SyncWatch
  private readonly ledger: Ledger
  private readonly reference = new Reference()
  private readonly checker: Checker
  private witness: Witness | null = null
  private server: AmqpServer | null = null
  private clientProcess: SimProcess | null = null
  private clients: Client[] = []
  /** What the disk may hold while no broker is open on it. */
  private candidates: readonly Candidate[] = [{ lsn: 0, state: new DurableState() }]
  private openLsn = 1
  /** Up to there all was durable when something last happened. */
  private notedLsn = 0
  private match: Match | null = null
  private readonly history = new FrameHistory()
  private numbers: ReadonlyMap<string, number> = new Map()

  constructor(seed: number, options: HistoryOptions) {
    const prng = new Prng(seed)
    const plan = withFeatures(makePlan(prng, makeLevel(seed)), seed)
    super(seed, options, prng, plan, plan.networkLatencyMs)
    this.syncWatch = new SyncWatch(plan.level, plan.diskLatencyMs)
    this.ledger = new Ledger(this.trace)
    this.checker = new Checker(this.ledger, plan.storage)
  }

  protected override get title(): string {
    return 'seed'
  }

  protected override counts(): SimulationCounts {
    const { publications } = this.ledger
    const confirms = publications.filter(({ outcome }) => outcome === 'confirmed').length
    return { transport: this.plan.transport, publishes: publications.length, confirms }
  }

  // ------------------------------------------------------------------------------------------------- a life

  protected override async open(): Promise<boolean> {
    const { plan, reference, trace } = this
    const opened = await this.startBroker(plan.memoryBytesMax, plan.level.deliverAfter)
    if (opened === null) {
      this.forgetCleanEnd()
      return false
    }
    this.syncWatch.reset()
    this.ledger.life++
    const { broker, store } = opened
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
      this.hasFailed = true
      witness.hasFailed = true
      if (this.trouble.faults === 0) trace.violated(asViolation(error))
    })
    this.witness = witness
    if (plan.transport === 'amqp') await this.serve(this.process as SimProcess, witness)
    return true
  }

  protected override forgive(error: Error, what: 'open' | 'close'): void {
    this.trace.add(`${what} failed: ${error.message}`)
    if (this.trouble.faults === 0) throw asViolation(error)
  }

  /** Clients are on another machine, which does not die with this one. */
  private async serve(process: SimProcess, driver: Driver): Promise<void> {
    const { prng, clock, disk, network, trace } = this
    const server = new AmqpServer(process, driver, {
      heartbeatSeconds: pick(prng, [0, 1, 10]),
      frameBytesMax: pick(prng, [4096, 4096, 131_072]),
      onError: (error) => trace.violated(asViolation(error)),
    })
    this.server = server
    this.clientProcess = new SimProcess(clock, disk, network, new SimMachine(), '127.0.0.1', prng.nextU32())
    const outcome = await this.settled(server.listen('127.0.0.1', 5672))
    if (outcome instanceof Error) throw asViolation(outcome)
  }

  /** An opening that was cut off may count as a run of which nobody knows what it handed out. */
  private forgetCleanEnd(): void {
    this.candidates = this.candidates.map(({ lsn, state }) => {
      const copy = state.copy()
      copy.isClean = false
      return { lsn, state: copy }
    })
  }

  protected override async live(ending: Ending): Promise<void> {
    const { plan, prng } = this
    this.startClients(plan.clients)
    const isOver = (): boolean => this.trouble.isCrashDue || this.hasFailed || this.clients.every(isDone)
    await this.stepWhile(() => !isOver(), this.clock.monotonicMs() + 120_000)
    // What is under way gets some time, or none.
    const graceMs = pick(prng, [0, 2, 5000])
    await this.stepWhile(() => !this.trouble.isCrashDue, this.clock.monotonicMs() + graceMs)
    for (const client of this.clients) client.stop()
    if (graceMs >= 5000 && !this.trouble.isCrashDue && !this.hasFailed) await this.checkLiveness()
    await this.end(ending)
  }

  /** Once the disk takes writes again and nobody asks for anything, every answer comes, and nobody stays blocked. */
  private async checkLiveness(): Promise<void> {
    const { clock } = this
    const goesOn = (): boolean => !this.trouble.isCrashDue && !this.hasFailed
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
    if (reference.journal.hasFactsAfter(durableLsn)) return 'an acknowledgement does not reach the disk'
    // Behind a connection that fell silent nobody hears anything; and memory may be short too, which is not the disk's fault.
    const mayBeBlocked = plan.networkTrouble > 0 || plan.memoryBytesMax < memoryBytesPlenty
    const blocked = mayBeBlocked ? undefined : clients.find((client) => client.waitsForDisk)
    if (blocked !== undefined) return `client ${blocked.name} stays blocked`
    return reference.describeWaiting()
  }

  private async end(ending: Ending): Promise<void> {
    const { store } = this.opened as OpenedBroker
    if (this.trouble.isCrashDue || ending === 'power' || ending === 'process') this.crash()
    else if (this.hasFailed) await this.afterFailure()
    else await this.close()
    this.openLsn = store.openLsn
    this.candidates = this.reference.journal.candidates(store.durableLsn, store.openLsn)
  }

  private async close(): Promise<void> {
    if (this.server !== null && this.prng.chance(0.8)) {
      if ((await this.settled(this.server.close())) === 'crashed') return this.crash()
    }
    const outcome = await this.settled((this.witness as Witness).close())
    if (outcome === 'crashed') return this.crash()
    if (outcome instanceof Error) {
      this.forgive(outcome, 'close')
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
    this.forgive(outcome, 'close')
    if (this.prng.chance(0.5)) this.endProcess()
    else this.bury()
  }

  protected override bury(): void {
    super.bury()
    if (this.witness !== null) this.witness.isDead = true
    this.witness = null
    for (const client of this.clients) client.stop()
    this.clients = []
    this.server = null
    this.clientProcess?.kill()
    this.clientProcess = null
  }

  // ------------------------------------------------------------------------------------------------- steps

  protected override stepped(): void {
    const durableLsn = this.opened?.store.durableLsn ?? 0
    if (durableLsn !== this.notedLsn) this.noteDurable(durableLsn)
    this.checkSyncs()
  }

  /** Whoever holds the process up holds its timers up. */
  private checkSyncs(): void {
    const { opened, plan, syncWatch, clock } = this
    if (opened === null || plan.clockTrouble > 0 || this.hasFailed) return
    const lsn = syncWatch.overdueLsn(opened.store, clock.monotonicMs())
    if (lsn > 0) throw new Violation('liveness', `frame ${lsn} was written long ago and is not durable`)
  }

  private noteDurable(durableLsn: number): void {
    this.notedLsn = durableLsn
    if (this.prng.chance(this.plan.probeChance / 2)) this.wantsProbe = true
  }

  // ------------------------------------------------------------------------------------------------- checks

  private promised(): void {
    if (this.prng.chance(this.plan.probeChance)) this.wantsProbe = true
  }

  protected override async checkProbe(
    { clock, disk }: DiskCopy,
    { store }: OpenedBroker,
    isProcessOnly: boolean,
  ): Promise<void> {
    const candidates = this.reference.journal.candidates(store.durableLsn, store.openLsn)
    const least = safeLsn(store, isProcessOnly, this.hasFailed)
    await this.checker.check(clock, disk, atLeast(candidates, least), store.openLsn)
  }

  protected override async examine(): Promise<void> {
    const { prng, trace, checker } = this
    const { clock, disk } = this.copyDisk()
    this.match = await checker.check(clock, disk, atLeast(this.candidates, this.leastLsn), this.openLsn)
    trace.add(`examined: the state after frame ${this.match.lsn}`)
    if (prng.chance(0.8)) {
      const copy = this.copyDisk()
      this.numbers = await readNumbers(copy.clock, copy.disk)
    } else this.numbers = new Map()
    if (this.isClosed && !this.match.found.isClean) throw new Violation('I7', 'a clean close is not taken for one')
    if (this.isClosed && this.match.lsn > 0) {
      await this.tryDamage(this.match)
      await this.tryLoss(this.match)
      if (prng.chance(0.1)) await this.tryFork()
    }
    if (!prng.chance(0.25)) return
    const copy = this.copyDisk()
    await checker.checkTwice(copy.clock, copy.disk, this.match.found, (left) => void crashDisk(left, prng))
  }

  /** After a clean end every frame is proven by the one behind it, so one bad byte anywhere must not go unnoticed. */
  private async tryDamage(match: Match): Promise<void> {
    const { prng, checker, trace } = this
    for (let tries = 0; tries < 2; tries++) {
      const { clock, disk } = this.copyDisk()
      const path = pick(prng, disk.paths().filter(isPromise))
      const offset = prng.below(disk.contents(path).length)
      disk.flipBit(path, offset, prng.below(8))
      this.damages++
      const damage = `a bit at ${offset} of ${path} turned over`
      trace.add(`${damage}: ${await checker.checkDamaged(clock, disk, match.state, damage, 1)}`)
    }
  }

  /** More than a bit: a sector, a whole file. What is lost must be said, however much it is. */
  private async tryLoss(match: Match): Promise<void> {
    const { disk, checker, trace, seed, recoveries } = this
    // With a generator of its own: it came later, and what seeds had drawn before is to stay.
    const prng = new Prng((seed * 0x9e3779b1 + recoveries) >>> 0)
    const lost = loseSomething(disk, prng, isPromise)
    if (lost === null) return
    this.damages++
    const { damage } = lost
    const copy = this.copyWith(lost)
    const { state } = match
    const outcome = await checker.checkDamaged(copy.clock, copy.disk, state, damage, Number.POSITIVE_INFINITY)
    trace.add(`${damage}: ${outcome}`)
  }

  private async tryFork(): Promise<void> {
    const { disk, checker, trace, plan } = this
    const mixture = await mixForks(disk, plan.storage, isSegment)
    if (mixture === null) return
    this.damages++
    trace.add(`${mixture.path} comes from another history`)
    const copy = copyToLook(mixture.disk, 1)
    await checker.checkRefused(copy.clock, copy.disk, `${mixture.path} was replaced by that of another history`)
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
  protected override async lastLife(): Promise<void> {
    const drain = new LastClient(this.ledger, this.trace)
    const { reference } = this
    const session = await this.need(this.witness?.openSession(login, drain) as Promise<Session>)
    drain.begin(
      session,
      new Prng(this.prng.nextU32()),
      [...reference.topology.queues.keys()],
      this.plan.storage.segmentBytesMax,
    )
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
    if (outcome instanceof Error) throw asViolation(outcome)
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
