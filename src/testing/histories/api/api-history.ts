/** One seed, one history of the typed API: its processes send letters and work at queues. */
import type { Bus } from '../../../client/bus.ts'
import { Prng } from '../../../lib/prng.ts'
import type { TestBroker } from '../../kit/test-broker.ts'
import type { HistoryOptions } from '../../simulation/trace.ts'
import type { Place } from '../app-process.ts'
import { History, type HistoryCounts, type HistoryResult, playHistory } from '../history.ts'
import type { DiskFullPlan } from '../plan.ts'
import { ApiProcess } from './api-process.ts'
import { Judge, type Left } from './judge.ts'
import { Ledger, type Letter } from './ledger.ts'
import { type ApiDeathPlan, type ApiLifePlan, type ApiPlan, LetterMaker, makePlan } from './plan.ts'
import { judgeSchedules } from './schedules-judge.ts'
import { type ApiWorld, expiredQueue, heardQueue, marksQueue, scheduledQueue } from './world.ts'

/** Runs the history of one seed to its end. */
export async function simulateApi(seed: number, options: HistoryOptions): Promise<HistoryResult> {
  const plan = makePlan(seed)
  return await playHistory(plan, (test) => new ApiHistory(plan, test, options))
}

class ApiHistory extends History<ApiLifePlan, ApiPlan, ApiProcess> implements ApiWorld {
  readonly ledger: Ledger
  readonly maker: LetterMaker

  constructor(plan: ApiPlan, test: TestBroker, options: HistoryOptions) {
    super(plan, test, new Prng(plan.seed + 2 ** 40), options)
    this.ledger = new Ledger(
      plan.isNarrow,
      () => this.nowMs(),
      (invariant, text) => this.complain(invariant, text),
    )
    this.maker = new LetterMaker(this.prng, plan.queues)
  }

  protected override makeProcess(place: Place, bus: Bus): ApiProcess {
    return new ApiProcess(this, place, bus)
  }

  /** Who does not know whether a message with an idempotency key was stored sends it again. */
  protected override joined(app: ApiProcess): void {
    for (const letter of this.ledger.letters.values())
      if (isUnknownTo(app.slot, letter)) this.beside(`send ${letter.uid}`, app.send(letter))
  }

  protected override begin({ sends, workerChange }: ApiLifePlan): void {
    const sending = this.inTime(sends, (app, { letter: plan }) => {
      const letter = this.ledger.letter(`m${this.ledger.letters.size}`, plan, null, 0)
      this.beside(`send ${letter.uid}`, app.send(letter))
    })
    this.beside('send all', sending)
    if (workerChange !== null) this.beside('change worker', this.changeWorker(workerChange))
  }

  private async changeWorker({ atMs, slot, queue }: NonNullable<ApiLifePlan['workerChange']>): Promise<void> {
    const { life } = this
    await this.test.sleep(atMs)
    const app = this.slots[slot] ?? null
    const plan = this.plan.queues[queue]
    if (!this.isOver(life) && app !== null && plan !== undefined) await app.changeWorker(plan)
  }

  /** That it has room again is something that has happened, too. */
  protected override async fillDisk(plan: DiskFullPlan): Promise<void> {
    const { life } = this
    await super.fillDisk(plan)
    if (!this.isOver(life)) this.note('the disk has room')
  }

  /** Nobody has it do anything more, and some rounds later it dies. */
  protected override async die(death: ApiDeathPlan): Promise<void> {
    const { life } = this
    const app = this.takeFrom(death.slot)
    if (app === null) return
    for (let round = 0; round < death.rounds; round++) await this.test.sleep(0)
    if (!this.isOver(life) && !app.isDead) await this.kill(app, death)
  }

  protected override powerGoes(): void {
    this.ledger.powerCuts.push({ life: this.life, atMs: this.nowMs() })
  }

  protected override workQueues(): readonly string[] {
    return this.plan.queues.map(({ name }) => name)
  }

  protected override async judge(): Promise<void> {
    const { plan, ledger } = this
    const remains = {
      marks: await this.drain<Left['data']>(marksQueue.name),
      heard: await this.drain<Left['data']>(heardQueue),
      expired: await this.drain<Left['data']>(expiredQueue),
      deadLetters: new Map<string, readonly Left[]>(),
    }
    for (const { name, hasDeadLetters } of plan.queues)
      if (hasDeadLetters) remains.deadLetters.set(name, await this.drain(`${name}.dead`))
    new Judge(plan, ledger, (invariant, text) => this.complain(invariant, text)).judge(remains)
    if (plan.schedules.length > 0) await this.endSchedules()
  }

  private async endSchedules(): Promise<void> {
    const { test, plan, ledger, bus } = this
    for (const schedule of await test.run(bus.schedules())) await test.run(schedule.pause())
    const untilMs = test.now.getTime()
    const left = await this.drain<Left['data']>(scheduledQueue.name)
    const complain = (invariant: string, text: string): void => this.complain(invariant, text)
    judgeSchedules(plan.schedules, ledger.scheduled, left, untilMs, complain)
  }

  protected override counts(): HistoryCounts {
    const { sendings, calls } = this.ledger
    const confirms = sendings.filter(({ outcome }) => outcome === 'stored').length
    return { publishes: sendings.length, confirms, calls: calls.length }
  }
}

function isUnknownTo(slot: number, { plan, sendings }: Letter): boolean {
  if (!plan.isIdempotent || sendings[0]?.party.slot !== slot) return false
  return sendings.every(({ outcome, party }) => outcome === 'rejected' || (outcome === 'open' && party.isDead))
}
