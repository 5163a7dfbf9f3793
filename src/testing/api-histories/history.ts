/**
 * One seed, one history of the typed API: processes come, send, work and die, and so does the broker, as the plan of the seed says.
 * Then everything is left in peace until nothing is left to do, and what was promised is compared with what is there.
 */
import { Prng } from '../../lib/prng.ts'
import { createTestBroker, type TestBroker } from '../kit/test-broker.ts'
import { Trace, Violation } from '../simulation/trace.ts'
import { AppProcess } from './app-process.ts'
import { Judge, type Left } from './judge.ts'
import { Ledger, type Letter } from './ledger.ts'
import { type ClientCrash, LetterMaker, type LifePlan, makePlan, type Plan } from './plan.ts'
import { judgeSchedules } from './schedules-judge.ts'
import { expiredQueue, heardQueue, marksQueue, scheduledQueue, type World } from './world.ts'

export interface HistoryOptions {
  /** Gets every line of the history; null for speed. */
  readonly print: ((line: string) => void) | null
  /** Errors that nobody caught, such as rejected promises; what is returned is forgotten. */
  readonly takeUncaught: () => unknown
}

export interface HistoryResult {
  readonly seed: number
  readonly hash: string
  readonly violation: Violation | null
  /** Of the broker, by a power cut. */
  readonly crashes: number
  readonly recoveries: number
  /** Processes with a bus that died. */
  readonly clientCrashes: number
  readonly publishes: number
  readonly confirms: number
  /** Handlers that were called. */
  readonly calls: number
}

/** How often the clock is looked at. */
const sliceMs = 5
/** So long everything is left in peace at most. */
const peaceMs = 120_000

/** Runs the history of one seed to its end. */
export async function simulateApi(seed: number, options: HistoryOptions): Promise<HistoryResult> {
  const plan = makePlan(seed)
  await using test = await createTestBroker({ seed, deliverAfter: plan.deliverAfter })
  const history = new History(plan, test, options)
  await history.play()
  return history.result
}

class History implements World {
  readonly plan: Plan
  readonly test: TestBroker
  readonly ledger: Ledger
  readonly prng: Prng
  readonly maker: LetterMaker
  private readonly options: HistoryOptions
  private readonly trace: Trace
  private readonly startMs: number
  private readonly slots: (AppProcess | null)[]
  private processes = 0
  private life = 0
  /** Things that have happened in this life. */
  private lines = 0
  private isEnding = false
  private crashes = 0
  private clientCrashes = 0
  /** What goes on beside the clock. */
  private readonly tasks: Set<{ readonly what: string }> = new Set()
  private openCrashes: ClientCrash[] = []

  constructor(plan: Plan, test: TestBroker, options: HistoryOptions) {
    this.plan = plan
    this.test = test
    this.options = options
    this.startMs = test.now.getTime()
    this.slots = Array.from({ length: plan.slots }, () => null)
    this.trace = new Trace({ monotonicMs: () => this.nowMs() }, options.print)
    this.ledger = new Ledger(
      plan.isNarrow,
      () => this.nowMs(),
      (invariant, text) => this.complain(invariant, text),
    )
    this.prng = new Prng(plan.seed + 2 ** 40)
    this.maker = new LetterMaker(this.prng, plan.queues)
  }

  get result(): HistoryResult {
    const { plan, trace, crashes, clientCrashes, ledger } = this
    return {
      seed: plan.seed,
      hash: trace.hash,
      violation: trace.violation,
      crashes,
      recoveries: plan.lives.length,
      clientCrashes,
      publishes: ledger.sendings.length,
      confirms: ledger.sendings.filter(({ outcome }) => outcome === 'stored').length,
      calls: ledger.calls.length,
    }
  }

  nowMs(): number {
    return this.test.now.getTime() - this.startMs
  }

  note(line: string): void {
    this.trace.add(line)
    this.lines++
    for (const crash of this.openCrashes)
      if (this.lines >= crash.afterLines) this.beside(`crash ${crash.slot}`, this.crashClient(crash))
    this.openCrashes = this.openCrashes.filter(({ afterLines }) => this.lines < afterLines)
  }

  complain(invariant: string, text: string): void {
    this.trace.violated(new Violation(invariant, text))
  }

  async play(): Promise<void> {
    this.trace.add(`plan ${JSON.stringify({ ...this.plan, lives: this.plan.lives.length })}`)
    try {
      for (const life of this.plan.lives) await this.live(life)
      await this.lastLife()
    } catch (error) {
      this.complain('exception', (error as Error).stack ?? String(error))
    }
    const uncaught = this.options.takeUncaught()
    if (uncaught instanceof Error) this.complain('exception', `uncaught: ${uncaught.stack}`)
    else if (uncaught != null) this.complain('exception', `uncaught: ${JSON.stringify(uncaught)}`)
  }

  // Lives.

  private async live(plan: LifePlan): Promise<void> {
    const { test } = this
    this.lines = 0
    this.isEnding = false
    this.openCrashes = [...plan.clientCrashes]
    this.trace.add(`life ${this.life} of ${this.plan.lives.length}`)
    if (plan.syncDelayMs > 0) test.faults.syncDelay(plan.syncDelayMs)
    if (plan.failedShare > 0) test.faults.failSend({ share: plan.failedShare })
    for (let slot = 0; slot < this.plan.slots; slot++) this.beside(`start ${slot}`, this.start(slot))
    this.beside('send all', this.sendAll(plan))
    this.beside('trouble', this.trouble(plan))
    const endMs = this.nowMs() + plan.endMs
    while (this.nowMs() < endMs && this.lines < plan.endLines) await test.advance(sliceMs)
    await this.end(plan)
    test.faults.end()
    await test.restart()
    for (const one of this.slots) if (one !== null) one.isDead = true
    this.slots.fill(null)
    await test.settle()
    this.life++
  }

  private async end(plan: LifePlan): Promise<void> {
    const { test, life } = this
    this.isEnding = true
    this.openCrashes = []
    if (plan.end === 'crash') {
      this.trace.add('the power goes')
      const atMs = this.nowMs()
      this.ledger.powerCuts.push({ life, atMs })
      this.crashes++
      await test.crash()
    } else if (plan.end === 'close') {
      this.trace.add('all close')
      test.faults.end()
      const open = this.slots.filter((one) => one !== null)
      await Promise.all(open.map((one) => test.run(one.close(this.prng.below(100)))))
    } else {
      test.faults.end()
      this.trace.add('the broker is restarted')
    }
  }

  /** Nothing goes wrong any more, and everything comes to its end. */
  private async lastLife(): Promise<void> {
    const { test } = this
    this.trace.add('the last life')
    this.lines = 0
    this.isEnding = false
    for (let slot = 0; slot < this.plan.slots; slot++) await test.run(this.start(slot))
    await this.untilQuiet()
    for (const one of this.slots) if (one !== null) await test.run(one.readInbox())
    this.trace.add('all is quiet')
    const remains = {
      marks: await this.drain(marksQueue.name),
      heard: await this.drain(heardQueue),
      expired: await this.drain(expiredQueue),
      deadLetters: new Map<string, readonly Left[]>(),
    }
    for (const { name, hasDeadLetters } of this.plan.queues)
      if (hasDeadLetters) remains.deadLetters.set(name, await this.drain(`${name}.dead`))
    new Judge(this.plan, this.ledger, (invariant, text) => this.complain(invariant, text)).judge(remains)
    if (this.plan.schedules.length > 0) await this.endSchedules()
  }

  private async endSchedules(): Promise<void> {
    const { test, plan, ledger } = this
    const { bus } = this.slots[0] as AppProcess
    for (const schedule of await test.run(bus.schedules())) await test.run(schedule.pause())
    const untilMs = test.now.getTime()
    const left = await this.drain(scheduledQueue.name)
    const complain = (invariant: string, text: string): void => this.complain(invariant, text)
    judgeSchedules(plan.schedules, ledger.scheduled, left, untilMs, complain)
  }

  private async untilQuiet(): Promise<void> {
    const { test, plan } = this
    const bus = (this.slots[0] as AppProcess).bus
    const work = new Set(plan.queues.map(({ name }) => name))
    for (let waitedMs = 0; waitedMs < peaceMs; waitedMs += 1_000) {
      await test.advance(1_000)
      const isSending = this.ledger.sendings.some(({ outcome, call }) => call === null && outcome === 'open')
      const stats = await test.run(bus.stats())
      const left = stats.filter(({ name, length, delayed }) => work.has(name) && length + delayed > 0)
      if (left.length === 0 && !isSending && this.tasks.size === 0) return
    }
    const stats = await test.run(bus.stats())
    const left = stats.map(({ name, ready, unacked, delayed }) => `${name} ${ready}+${unacked}+${delayed}`)
    left.push(...[...this.tasks].map(({ what }) => what))
    this.complain('I17', `after ${peaceMs} ms without trouble there is something left to do: ${left.join(', ')}`)
  }

  // Processes.

  private async start(slot: number): Promise<void> {
    const name = `process ${slot}.${this.processes++}`
    const { life } = this
    const app = await AppProcess.start(this, slot, life, name)
    if (app === null || life !== this.life) return
    this.slots[slot] = app
    // Who does not know whether a message with an idempotency key was stored sends it again.
    for (const letter of this.ledger.letters.values())
      if (this.isUnknownTo(slot, letter)) this.beside(`send ${letter.uid}`, app.send(letter))
  }

  private isUnknownTo(slot: number, { plan, sendings }: Letter): boolean {
    if (!plan.isIdempotent || sendings[0]?.party.slot !== slot) return false
    return sendings.every(({ outcome, party }) => outcome === 'rejected' || (outcome === 'open' && party.isDead))
  }

  private async crashClient({ slot, rounds, backAfterMs }: ClientCrash): Promise<void> {
    const { test, life } = this
    const app = this.slots[slot] ?? null
    if (app === null || app.isDead) return
    this.slots[slot] = null
    for (let round = 0; round < rounds; round++) await test.sleep(0)
    if (this.isEnding || life !== this.life || app.isDead) return
    this.trace.add(`${app.name} dies`)
    this.clientCrashes++
    await test.faults.crashClient(app.bus)
    await test.sleep(backAfterMs)
    if (!this.isEnding && life === this.life) await this.start(slot)
  }

  // What happens in a life.

  private async sendAll({ sends }: LifePlan): Promise<void> {
    const { test, life } = this
    const startMs = this.nowMs()
    for (const { atMs, slot, letter: plan } of sends) {
      const leftMs = startMs + atMs - this.nowMs()
      if (leftMs > 0) await test.sleep(leftMs)
      if (this.isEnding || life !== this.life) return
      const app = this.slots[slot] ?? null
      if (app === null || app.isDead) continue
      const letter = this.ledger.letter(`m${this.ledger.letters.size}`, plan, null, 0)
      this.beside(`send ${letter.uid}`, app.send(letter))
    }
  }

  private async trouble({ diskFull, workerChange }: LifePlan): Promise<void> {
    const { test, life } = this
    const isOver = (): boolean => this.isEnding || life !== this.life
    if (workerChange !== null) this.beside('change worker', this.changeWorker(workerChange, isOver))
    if (diskFull === null) return
    await test.sleep(diskFull.atMs)
    if (isOver()) return
    this.note('the disk is full')
    const fault = test.faults.diskFull()
    await test.sleep(diskFull.forMs)
    fault.end()
    if (!isOver()) this.note('the disk has room')
  }

  private async changeWorker(
    { atMs, slot, queue }: NonNullable<LifePlan['workerChange']>,
    isOver: () => boolean,
  ): Promise<void> {
    await this.test.sleep(atMs)
    const app = this.slots[slot] ?? null
    const plan = this.plan.queues[queue]
    if (!isOver() && app !== null && plan !== undefined) await app.changeWorker(plan)
  }

  private beside(what: string, task: Promise<void>): void {
    const token = { what: `${what} of life ${this.life}` }
    this.tasks.add(token)
    task
      .catch((error: unknown) => this.complain('exception', (error as Error).stack ?? String(error)))
      .finally(() => this.tasks.delete(token))
  }

  /** Takes all there is in a queue that nobody works at. */
  private async drain(name: string): Promise<Left[]> {
    const { test } = this
    const { bus } = this.slots[0] as AppProcess
    const known = await test.run(bus.stats())
    if (known.every((one) => one.name !== name)) return []
    const queue = await test.run(bus.openQueue<Left['data']>(name))
    const left: Left[] = []
    const { ready } = await test.run(queue.count())
    const messages = queue.receive({ prefetch: 1_000 })
    while (left.length < ready) {
      const { value } = await test.run(messages.next())
      if (value === undefined) break
      left.push({ data: value.data, id: value.id ?? '', headers: value.headers })
      await value.ack()
    }
    await messages.close()
    return left
  }
}
