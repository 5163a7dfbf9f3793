/** One seed, one history of events, calls and families: its processes listen, answer, emit and call. */
import type { Bus } from '../../../client/bus.ts'
import { Prng } from '../../../lib/prng.ts'
import { subscriberPrefix } from '../../../model/subscribers.ts'
import type { TestBroker } from '../../kit/test-broker.ts'
import type { HistoryOptions } from '../../simulation/trace.ts'
import type { Place } from '../app-process.ts'
import { History, type HistoryCounts, type HistoryResult, playHistory } from '../history.ts'
import type { DeathPlan } from '../plan.ts'
import { Judge } from './judge.ts'
import { Ledger } from './ledger.ts'
import { PatternProcess } from './pattern-process.ts'
import { makePlan, type PatternLifePlan, type PatternPlan } from './plan.ts'
import { ask, type Data, type Mark, marksQueue, memberQueues, type PatternWorld } from './world.ts'

/** So much is begun in the last life, in which nothing goes wrong. */
const lastActionsMax = 6

/** Runs the history of one seed to its end. */
export async function simulatePatterns(seed: number, options: HistoryOptions): Promise<HistoryResult> {
  const plan = makePlan(seed)
  return await playHistory(plan, (test) => new PatternHistory(plan, test, options))
}

class PatternHistory extends History<PatternLifePlan, PatternPlan, PatternProcess> implements PatternWorld {
  readonly ledger: Ledger

  constructor(plan: PatternPlan, test: TestBroker, options: HistoryOptions) {
    super(plan, test, new Prng(plan.seed + 2 ** 41), options)
    this.ledger = new Ledger(plan.seed, plan.subscribers)
  }

  protected override makeProcess(place: Place, bus: Bus): PatternProcess {
    return new PatternProcess(this, place, bus)
  }

  protected override begin({ actions, lostShare }: PatternLifePlan): void {
    if (lostShare > 0) {
      // Not of parents: who believes that one is done lets go of its children's answers, which nobody does who dies.
      for (const queue of [ask.name, memberQueues.leaf, ...this.subscriberQueues()])
        this.test.faults.duplicate({ share: lostShare, queue })
    }
    this.act(actions)
  }

  protected override beginLast(): void {
    this.act(this.plan.lives[0]?.actions.slice(0, lastActionsMax) ?? [])
  }

  private act(actions: PatternLifePlan['actions']): void {
    const acting = this.inTime(actions, (app, { what }) => this.beside(`${what.kind} of ${app.name}`, app.act(what)))
    this.beside('act', acting)
  }

  /** Whoever is there when all that is due now is done. */
  protected override async die(death: DeathPlan): Promise<void> {
    const { life } = this
    await this.test.sleep(0)
    const app = this.isOver(life) ? null : this.takeFrom(death.slot)
    if (app !== null) await this.kill(app, death)
  }

  protected override powerGoes(): void {
    this.ledger.powerCuts.add(this.life)
  }

  protected override workQueues(): readonly string[] {
    return [ask.name, memberQueues.leaf, memberQueues.parent, ...this.subscriberQueues()]
  }

  private subscriberQueues(): string[] {
    return this.plan.subscribers.map(({ name }) => subscriberPrefix + name)
  }

  protected override async judge(): Promise<void> {
    const { test, plan, ledger, bus } = this
    const stats = await test.run(bus.stats())
    const marks = (await this.drain<Mark>(marksQueue.name)).map(({ data }) => data)
    const dead: string[] = []
    for (const { name } of plan.subscribers) {
      const left = await this.drain<Data>(`${subscriberPrefix}${name}.dead`)
      dead.push(...left.map(({ data }) => `${data.uid}>${name}`))
    }
    for (const name of [ask.name, memberQueues.leaf, memberQueues.parent])
      dead.push(...(await this.drain<Data>(`${name}.dead`)).map(({ data }) => data.uid))
    const gathered = new Map(
      stats.filter(({ name }) => name.startsWith('leveret.gather.')).map(({ name, length }) => [name, length]),
    )
    new Judge(plan, ledger, (invariant, text) => this.complain(invariant, text)).judge({ marks, dead, gathered })
  }

  protected override counts(): HistoryCounts {
    const { emissions, calls, members, runs } = this.ledger
    return {
      publishes: emissions.length + calls.size + members.size,
      confirms: emissions.filter(({ outcome }) => outcome === 'stored').length,
      calls: runs.length,
    }
  }
}
