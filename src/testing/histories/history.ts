/**
 * One seed, one history of an application: processes come, do something and die, and so does the broker, life by life, as the
 * plan of the seed says. Then everything is left in peace until nothing is left to do, and what was promised is compared with what
 * is there. What the processes do, and what was promised, the kinds of history say.
 */
import type { Bus } from '../../client/bus.ts'
import type { Prng } from '../../lib/prng.ts'
import { createTestBroker, type TestBroker } from '../kit/test-broker.ts'
import { type HistoryOptions, Trace, Violation } from '../simulation/trace.ts'
import { type AppProcess, type Place, startProcess } from './app-process.ts'
import type { DiskFullPlan, HistoryPlan, LifePlan } from './plan.ts'
import type { World } from './world.ts'

export interface HistoryResult extends HistoryCounts {
  readonly seed: number
  readonly hash: string
  readonly violation: Violation | null
  /** Of the broker, by a power cut. */
  readonly crashes: number
  readonly recoveries: number
  /** Processes with a bus that died. */
  readonly clientCrashes: number
}

export interface HistoryCounts {
  readonly publishes: number
  readonly confirms: number
  /** Handlers that were called. */
  readonly calls: number
}

/** What was in a queue that nobody works at. */
export interface LeftMessage<Content> {
  readonly data: Content
  readonly id: string
  readonly headers: { readonly [name: string]: unknown }
}

/** How often the clock is looked at. */
const sliceMs = 5
/** So long everything is left in peace at most: calls that nobody answers wait for half a minute. */
const peaceMs = 120_000

/** Plays what `make` returns to its end, on a broker of its own. */
export async function playHistory(
  { seed, deliverAfter }: HistoryPlan,
  make: (test: TestBroker) => { readonly result: HistoryResult; play(): Promise<void> },
): Promise<HistoryResult> {
  await using test = await createTestBroker({ seed, deliverAfter })
  const history = make(test)
  await history.play()
  return history.result
}

export abstract class History<Life extends LifePlan, Plan extends HistoryPlan<Life>, App extends AppProcess>
  implements World
{
  readonly plan: Plan
  readonly test: TestBroker
  readonly prng: Prng
  /** Nothing goes wrong any more. */
  isLast = false
  /** Counted from 0. */
  protected life = 0
  /** The processes that live, each in its place. */
  protected readonly slots: (App | null)[]
  private readonly options: HistoryOptions
  private readonly trace: Trace
  private readonly startMs: number
  private processes = 0
  /** Things that have happened in this life. */
  private lines = 0
  private isEnding = false
  private crashes = 0
  private clientCrashes = 0
  private openDeaths: Life['deaths'][number][] = []
  /** What goes on beside the clock. */
  private readonly tasks: Set<{ readonly what: string }> = new Set()

  constructor(plan: Plan, test: TestBroker, prng: Prng, options: HistoryOptions) {
    this.plan = plan
    this.test = test
    this.prng = prng
    this.options = options
    this.startMs = test.now.getTime()
    this.slots = Array.from({ length: plan.slots }, () => null)
    this.trace = new Trace({ monotonicMs: () => this.nowMs() }, options.print)
  }

  // What a kind of history says.

  protected abstract makeProcess(place: Place, bus: Bus): App
  /** A life begins, and its processes do: what they are to do, and what may go wrong beside what goes wrong in every history. */
  protected abstract begin(life: Life): void
  /** It is time for the process in that slot to die: who that is, and when exactly. */
  protected abstract die(death: Life['deaths'][number]): Promise<void>
  /** The power is about to be cut. */
  protected abstract powerGoes(): void
  /** The queues that are empty when all is done. */
  protected abstract workQueues(): readonly string[]
  /** All is quiet. */
  protected abstract judge(): Promise<void>
  protected abstract counts(): HistoryCounts
  /** A process is in its slot. */
  protected joined(_app: App): void {}
  /** What is still done when nothing goes wrong any more. */
  protected beginLast(): void {}

  // What a history is to all that take part in it.

  get result(): HistoryResult {
    const { plan, trace, crashes, clientCrashes } = this
    return {
      seed: plan.seed,
      hash: trace.hash,
      violation: trace.violation,
      crashes,
      recoveries: plan.lives.length,
      clientCrashes,
      ...this.counts(),
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

  private async live(plan: Life): Promise<void> {
    const { test } = this
    this.lines = 0
    this.isEnding = false
    this.openDeaths = [...plan.deaths]
    this.trace.add(`life ${this.life} of ${this.plan.lives.length}`)
    if (plan.syncDelayMs > 0) test.faults.syncDelay(plan.syncDelayMs)
    if (plan.failedShare > 0) test.faults.failSend({ share: plan.failedShare })
    for (let slot = 0; slot < this.plan.slots; slot++) this.beside(`start ${slot}`, this.start(slot))
    this.begin(plan)
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

  private async end({ end }: Life): Promise<void> {
    const { test } = this
    this.isEnding = true
    this.openDeaths = []
    if (end === 'crash') {
      this.trace.add('the power goes')
      this.powerGoes()
      this.crashes++
      await test.crash()
    } else if (end === 'close') {
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
    this.isLast = true
    for (let slot = 0; slot < this.plan.slots; slot++) await test.run(this.start(slot))
    this.beginLast()
    await this.untilQuiet()
    for (const one of this.slots) if (one !== null) await test.run(one.readInbox())
    this.trace.add('all is quiet')
    await this.judge()
  }

  private async untilQuiet(): Promise<void> {
    const { test, bus } = this
    const work = new Set(this.workQueues())
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
    const place = { slot, life: this.life, name: `process ${slot}.${this.processes++}` }
    const app = await startProcess(this, place.name, (bus) => this.makeProcess(place, bus))
    if (app === null || place.life !== this.life) return
    this.slots[slot] = app
    this.joined(app)
  }

  /** Who is there, from now on for nobody else; null: nobody lives there. */
  protected takeFrom(slot: number): App | null {
    const app = this.slots[slot] ?? null
    if (app === null || app.isDead) return null
    this.slots[slot] = null
    return app
  }

  /** It dies, and after a while another one takes its place. */
  protected async kill(app: App, { slot, backAfterMs }: Life['deaths'][number]): Promise<void> {
    const { test, life } = this
    this.trace.add(`${app.name} dies`)
    this.clientCrashes++
    await test.faults.crashClient(app.bus)
    await test.sleep(backAfterMs)
    if (!this.isOver(life)) await this.start(slot)
  }

  // What happens in a life.

  /** That life ends, or has ended. */
  protected isOver(life: number): boolean {
    return this.isEnding || life !== this.life
  }

  /** Has each done in its time of this life, by who is in its slot then. */
  protected async inTime<Timed extends { readonly atMs: number; readonly slot: number }>(
    all: readonly Timed[],
    act: (app: App, one: Timed) => void,
  ): Promise<void> {
    const { test, life } = this
    const startMs = this.nowMs()
    for (const one of all) {
      const leftMs = startMs + one.atMs - this.nowMs()
      if (leftMs > 0) await test.sleep(leftMs)
      if (this.isOver(life)) return
      const app = this.slots[one.slot] ?? null
      if (app !== null && !app.isDead) act(app, one)
    }
  }

  protected async fillDisk({ atMs, forMs }: DiskFullPlan): Promise<void> {
    const { test, life } = this
    await test.sleep(atMs)
    if (this.isOver(life)) return
    this.note('the disk is full')
    const fault = test.faults.diskFull()
    await test.sleep(forMs)
    fault.end()
  }

  /** It goes on beside the clock, and is not quiet before it has ended. */
  protected beside(what: string, task: Promise<void>): void {
    const token = { what: `${what} of life ${this.life}` }
    this.tasks.add(token)
    task
      .catch((error: unknown) => this.complain('exception', (error as Error).stack ?? String(error)))
      .finally(() => this.tasks.delete(token))
  }

  // The end.

  /** The bus of some process that lives, when nothing goes wrong any more. */
  protected get bus(): Bus {
    return (this.slots[0] as App).bus
  }

  /** Takes all there is in a queue that nobody works at. */
  protected async drain<Content>(name: string): Promise<LeftMessage<Content>[]> {
    const { test, bus } = this
    const known = await test.run(bus.stats())
    if (known.every((one) => one.name !== name)) return []
    const queue = await test.run(bus.openQueue<Content>(name))
    const left: LeftMessage<Content>[] = []
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
