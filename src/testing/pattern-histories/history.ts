/**
 * One seed, one history of events, calls and families: processes come, listen, answer, emit, call and die, and so does the broker,
 * as the plan of the seed says. Then everything is left in peace until nothing is left to do, and what was promised is compared
 * with what is there.
 */
import { Prng } from '../../lib/prng.ts'
import { subscriberPrefix } from '../../model/subscribers.ts'
import type { HistoryOptions, HistoryResult } from '../api-histories/history.ts'
import { createTestBroker, type TestBroker } from '../kit/test-broker.ts'
import { Trace, Violation } from '../simulation/trace.ts'
import { Judge } from './judge.ts'
import { Ledger } from './ledger.ts'
import { PatternProcess } from './pattern-process.ts'
import { type LifePlan, makePlan, type Plan } from './plan.ts'
import { ask, type Data, type Mark, marksQueue, memberQueues, type World } from './world.ts'

/** How often the clock is looked at. */
const sliceMs = 5
/** So long everything is left in peace at most: calls that nobody answers wait for half a minute. */
const peaceMs = 120_000
/** So much is begun in the last life, in which nothing goes wrong. */
const lastActionsMax = 6

/** Runs the history of one seed to its end. */
export async function simulatePatterns(seed: number, options: HistoryOptions): Promise<HistoryResult> {
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
  isLast = false
  private readonly options: HistoryOptions
  private readonly trace: Trace
  private readonly startMs: number
  private readonly slots: (PatternProcess | null)[]
  private processes = 0
  private life = 0
  /** Things that have happened in this life. */
  private lines = 0
  private isEnding = false
  private crashes = 0
  private clientCrashes = 0
  private openDeaths: LifePlan['deaths'][number][] = []
  /** What goes on beside the clock. */
  private readonly tasks: Set<{ readonly what: string }> = new Set()

  constructor(plan: Plan, test: TestBroker, options: HistoryOptions) {
    this.plan = plan
    this.test = test
    this.options = options
    this.startMs = test.now.getTime()
    this.slots = Array.from({ length: plan.slots }, () => null)
    this.trace = new Trace({ monotonicMs: () => this.nowMs() }, options.print)
    this.ledger = new Ledger(plan.seed, plan.subscribers)
    this.prng = new Prng(plan.seed + 2 ** 41)
  }

  get result(): HistoryResult {
    const { plan, trace, crashes, clientCrashes, ledger } = this
    const { emissions, calls, members } = ledger
    return {
      seed: plan.seed,
      hash: trace.hash,
      violation: trace.violation,
      crashes,
      recoveries: plan.lives.length,
      clientCrashes,
      publishes: emissions.length + calls.size + members.size,
      confirms: emissions.filter(({ outcome }) => outcome === 'stored').length,
      calls: ledger.runs.length,
    }
  }

  nowMs(): number {
    return this.test.now.getTime() - this.startMs
  }

  note(line: string): void {
    this.trace.add(line)
    this.lines++
    const due = this.openDeaths.filter(({ afterLines }) => this.lines >= afterLines)
    if (due.length === 0) return
    this.openDeaths = this.openDeaths.filter(({ afterLines }) => this.lines < afterLines)
    for (const death of due) this.beside(`death in ${death.slot}`, this.die(death))
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
    this.openDeaths = [...plan.deaths]
    this.trace.add(`life ${this.life} of ${this.plan.lives.length}`)
    if (plan.syncDelayMs > 0) test.faults.syncDelay(plan.syncDelayMs)
    if (plan.failedShare > 0) test.faults.failSend({ share: plan.failedShare })
    if (plan.lostShare > 0) {
      // Not of parents: who believes that one is done lets go of its children's answers, which nobody does who dies.
      const queues = [ask.name, memberQueues.leaf, ...this.plan.subscribers.map(({ name }) => subscriberPrefix + name)]
      for (const queue of queues) test.faults.duplicate({ share: plan.lostShare, queue })
      this.ledger.troubledLives.add(this.life)
    }
    for (let slot = 0; slot < this.plan.slots; slot++) this.beside(`start ${slot}`, this.start(slot))
    this.beside('act', this.act(plan.actions))
    if (plan.diskFull !== null) this.beside('disk', this.fillDisk(plan.diskFull))
    const endMs = this.nowMs() + plan.endMs
    while (this.nowMs() < endMs && this.lines < plan.endLines) await test.advance(sliceMs)
    await this.end(plan)
    test.faults.end()
    await test.restart()
    for (const one of this.slots) one?.dies()
    this.slots.fill(null)
    await test.settle()
    this.life++
  }

  private async end(plan: LifePlan): Promise<void> {
    const { test } = this
    this.isEnding = true
    this.ledger.troubledLives.add(this.life)
    this.openDeaths = []
    if (plan.end === 'crash') {
      this.trace.add('the power goes')
      this.ledger.powerCuts.add(this.life)
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
    const { test, plan } = this
    this.trace.add('the last life')
    this.lines = 0
    this.isEnding = false
    this.isLast = true
    for (let slot = 0; slot < plan.slots; slot++) await test.run(this.start(slot))
    const actions = plan.lives[0]?.actions.slice(0, lastActionsMax) ?? []
    this.beside('act', this.act(actions))
    await this.untilQuiet()
    for (const one of this.slots) if (one !== null) await test.run(one.readInbox())
    this.trace.add('all is quiet')
    const { bus } = this.slots[0] as PatternProcess
    const stats = await test.run(bus.stats())
    const marks = await this.drain<Mark>(marksQueue.name)
    const dead: string[] = []
    for (const { name } of plan.subscribers) {
      const left = await this.drain<Data>(`${subscriberPrefix}${name}.dead`)
      dead.push(...left.map(({ uid }) => `${uid}>${name}`))
    }
    for (const name of [ask.name, memberQueues.leaf, memberQueues.parent])
      dead.push(...(await this.drain<Data>(`${name}.dead`)).map(({ uid }) => uid))
    const gathered = new Map(
      stats.filter(({ name }) => name.startsWith('leveret.gather.')).map(({ name, length }) => [name, length]),
    )
    new Judge(plan, this.ledger, (invariant, text) => this.complain(invariant, text)).judge({ marks, dead, gathered })
  }

  private async untilQuiet(): Promise<void> {
    const { test, plan } = this
    const bus = (this.slots[0] as PatternProcess).bus
    const work = new Set<string>([ask.name, memberQueues.leaf, memberQueues.parent])
    for (const { name } of plan.subscribers) work.add(subscriberPrefix + name)
    for (let waitedMs = 0; waitedMs < peaceMs; waitedMs += 1_000) {
      await test.advance(1_000)
      const stats = await test.run(bus.stats())
      const isBusy = stats.some(({ name, length, delayed }) => work.has(name) && length + delayed > 0)
      if (!isBusy && this.tasks.size === 0) return
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
    const app = await PatternProcess.start(this, slot, life, name)
    if (app !== null && life === this.life) this.slots[slot] = app
  }

  private async die({ slot, backAfterMs }: LifePlan['deaths'][number]): Promise<void> {
    const { test, life } = this
    await test.sleep(0)
    const app = this.slots[slot] ?? null
    if (this.isEnding || life !== this.life || app === null || app.isDead) return
    this.slots[slot] = null
    this.trace.add(`${app.name} dies`)
    this.clientCrashes++
    this.ledger.troubledLives.add(life)
    await test.faults.crashClient(app.bus)
    await test.sleep(backAfterMs)
    if (!this.isEnding && life === this.life) await this.start(slot)
  }

  private async fillDisk({ atMs, forMs }: NonNullable<LifePlan['diskFull']>): Promise<void> {
    const { test, life } = this
    await test.sleep(atMs)
    if (this.isEnding || life !== this.life) return
    this.note('the disk is full')
    const fault = test.faults.diskFull()
    await test.sleep(forMs)
    fault.end()
  }

  private async act(actions: LifePlan['actions']): Promise<void> {
    const { test, life } = this
    const startMs = this.nowMs()
    for (const { atMs, slot, what } of actions) {
      const leftMs = startMs + atMs - this.nowMs()
      if (leftMs > 0) await test.sleep(leftMs)
      if (this.isEnding || life !== this.life) return
      const app = this.slots[slot] ?? null
      if (app !== null && !app.isDead) this.beside(`${what.kind} of ${app.name}`, app.act(what))
    }
  }

  private beside(what: string, task: Promise<void>): void {
    const token = { what: `${what} of life ${this.life}` }
    this.tasks.add(token)
    task
      .catch((error: unknown) => this.complain('exception', (error as Error).stack ?? String(error)))
      .finally(() => this.tasks.delete(token))
  }

  /** Takes all there is in a queue that nobody works at. */
  private async drain<Content>(name: string): Promise<Content[]> {
    const { test } = this
    const { bus } = this.slots[0] as PatternProcess
    const known = await test.run(bus.stats())
    if (known.every((one) => one.name !== name)) return []
    const queue = await test.run(bus.openQueue<Content>(name))
    const left: Content[] = []
    const { ready } = await test.run(queue.count())
    const messages = queue.receive({ prefetch: 1_000 })
    while (left.length < ready) {
      const { value } = await test.run(messages.next())
      if (value === undefined) break
      left.push(value.data)
      await value.ack()
    }
    await messages.close()
    return left
  }
}
