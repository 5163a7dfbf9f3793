/**
 * One process of a history of patterns: it listens to events, answers calls, works at families, and emits, calls and sends what
 * its plan says. Everything that it sees goes into the ledger.
 */
import { type CallError, callError } from '../../../client/call-errors.ts'
import type { CallOptions } from '../../../client/call-options.ts'
import { type Child, child } from '../../../client/children.ts'
import { defineEvent } from '../../../client/contract.ts'
import type { IncomingMessage } from '../../../client/incoming.ts'
import type { Queue } from '../../../client/queue.ts'
import type { SendOptions } from '../../../client/send-options.ts'
import type { Settlement } from '../../../client/settlement.ts'
import type { HandlerContext } from '../../../client/task.ts'
import type { LeveretError } from '../../../model/errors.ts'
import { AppProcess } from '../app-process.ts'
import { isLoss, isRefusal, PlannedFailure } from '../expected-errors.ts'
import { checkChildren } from './family-check.ts'
import { type Call, type Ear, type Family, hears, type Job, type Member, type Run } from './ledger.ts'
import { type ActionPlan, attemptsMax, type CallPlan, type SubscriberPlan } from './plan.ts'
import { ask, confirmJob, type Data, type Mark, marksQueue, memberQueues, type PatternWorld } from './world.ts'

type MemberQueue = Queue<Data, Mark>

const retry = { attempts: attemptsMax, min: 2, max: 20 } as const

export class PatternProcess extends AppProcess<PatternWorld> {
  private leaf: MemberQueue | null = null
  private parent: MemberQueue | null = null

  override dies(): void {
    if (!this.isDead) for (const ear of this.world.ledger.ears) if (ear.party === this) ear.endMs = this.world.nowMs()
    super.dies()
  }

  override async close(timeoutMs: number): Promise<void> {
    await super.close(timeoutMs)
    this.dies()
  }

  async act(action: ActionPlan): Promise<void> {
    if (action.kind === 'emit') await this.emit(action.name)
    else if (action.kind === 'call') await this.call(action)
    else await this.sendFamily(this.world.ledger.family(action.root))
  }

  /** Takes the answers that wait for callers which are gone. */
  override async readInbox(): Promise<void> {
    for await (const { result } of this.bus.receipts({ sender: this.sender, wait: false })) {
      const mark = result as Mark | undefined
      if (mark !== undefined) this.world.ledger.calls.get(mark.job)?.inboxRuns.push(mark.run)
    }
  }

  override async begin(): Promise<void> {
    const { bus, world } = this
    const { plan, prng } = world
    await bus.createQueue(marksQueue)
    const leaf = await bus.createQueue<Data, Mark>(memberQueues.leaf, { retry })
    const parent = await bus.createQueue<Data, Mark>(memberQueues.parent, { retry })
    this.leaf = leaf
    this.parent = parent
    await this.listen(plan.livePattern, false)
    if (prng.chance(0.3)) await this.listen(plan.livePattern, true)
    for (const subscriber of plan.subscribers) if (world.isLast || prng.chance(0.7)) await this.subscribe(subscriber)
    if (world.isLast || prng.chance(0.8)) {
      const settings = { retry, concurrency: 1 + prng.below(3), onError() {} }
      await bus.answer(ask, ({ uid }, context) => this.run(this.callJob(uid), context), settings)
    }
    await bus.answer(confirmJob, (asked) => this.confirm(asked), { onError() {} })
    const work = { concurrency: 2, onError() {} }
    leaf.process(({ data }, context) => this.run(this.member(data.uid).job, context) as never, work)
    parent.process(({ data }, context) => this.runParent(data.uid, context) as never, work)
  }

  // Events.

  private async emit(name: string): Promise<void> {
    const { world } = this
    const emission = world.ledger.emission(name, this, null)
    world.note(`${this.name} emits ${emission.uid}, ${name}`)
    try {
      await this.bus.emit(name, { uid: emission.uid })
      emission.outcome = this.isDead ? 'rejected' : 'stored'
      emission.storedMs = world.nowMs()
      world.note(`${emission.uid} is ${emission.outcome}`)
    } catch (error) {
      emission.outcome = 'rejected'
      world.note(`${emission.uid} is rejected: ${(error as LeveretError).code}`)
      if (!isLoss(error) && !isRefusal(error)) world.complain('exception', `emit of ${emission.uid}: ${String(error)}`)
    }
  }

  private async listen(pattern: string, isOnce: boolean): Promise<void> {
    const { world } = this
    const ear: Ear = {
      party: this,
      pattern,
      isOnce,
      since: null,
      endMs: Number.POSITIVE_INFINITY,
      heard: new Map(),
    }
    const handler = ({ name, data }: IncomingMessage): void => {
      const { uid } = data as Data
      const count = (ear.heard.get(uid) ?? 0) + 1
      ear.heard.set(uid, count)
      world.note(`${this.name} hears ${uid}`)
      if (count > 1) world.complain('live', `${this.name} hears ${uid} for the ${count}nd time`)
      if (!hears(pattern, name)) world.complain('live', `who listens to ${pattern} hears ${name}`)
    }
    await (isOnce ? this.bus.once(pattern, handler) : this.bus.on(pattern, handler))
    ear.since = world.ledger.emissions.length
    world.ledger.ears.push(ear)
  }

  private async subscribe(plan: SubscriberPlan): Promise<void> {
    const { bus, world } = this
    const { name: durable, pattern, concurrency } = plan
    if (plan.way === 'iterate') {
      const events = bus.events(pattern, { durable })
      await events.ready()
      void this.iterate(plan, events)
    } else {
      const handler = ({ data }: IncomingMessage, context: HandlerContext): Promise<Settlement | void> | Settlement =>
        this.run(world.ledger.jobOfEvent((data as Data).uid, plan), context) as Settlement
      await bus.on(pattern, handler, { durable, retry, concurrency, onError() {} })
    }
    const promised = world.ledger.subscribers[plan.number]
    if (promised !== undefined && !this.isDead) promised.since ??= world.ledger.emissions.length
  }

  private async iterate(plan: SubscriberPlan, events: AsyncIterable<IncomingMessage>): Promise<void> {
    const { world } = this
    const { ledger, test } = world
    try {
      for await (const { data } of events) {
        const job = ledger.jobOfEvent((data as Data).uid, plan)
        const run = ledger.begin(job, this, 1)
        world.note(`run ${run.number} by ${this.name}: ${job.key}, in a loop`)
        if (job.deed.workMs > 0) await test.sleep(job.deed.workMs)
        ledger.end(run, 'done')
      }
    } catch (error) {
      if (!isLoss(error)) this.world.complain('exception', `events of ${plan.name}: ${String(error)}`)
    }
  }

  // Calls.

  private async call(plan: CallPlan): Promise<void> {
    const { world } = this
    const call = world.ledger.call(plan, this, world.nowMs())
    const { isDurable, timeoutMs, abortMs, isNamed } = plan
    world.note(`${this.name} calls ${call.uid}`)
    const controller = new AbortController()
    const options: CallOptions = {
      durable: isDurable,
      ...(timeoutMs === null ? {} : { timeout: timeoutMs }),
      ...(isNamed ? { sender: this.sender } : {}),
      ...(abortMs === null ? {} : { signal: controller.signal }),
    }
    if (abortMs !== null) {
      void world.test.sleep(abortMs).then(() => controller.abort(new PlannedFailure(`${call.uid} is given up`)))
    }
    await new Promise<void>((resolve) => {
      const told = (error: Error | null, result?: Mark): void => {
        this.told(call, error, result)
        resolve()
      }
      if (plan.way === 'callback') this.bus.call(ask, { uid: call.uid }, options, told)
      else {
        this.bus.call(ask, { uid: call.uid }, options).then(
          (result) => told(null, result),
          (error: Error) => told(error),
        )
      }
    })
  }

  private told(call: Call, error: Error | null, result: Mark | undefined): void {
    const { world } = this
    const { code: known } = (error ?? {}) as LeveretError
    const code = error === null ? 'result' : error instanceof PlannedFailure ? 'aborted' : known
    const remote = (error as CallError | null)?.remote
    const told = remote?.data as { readonly run: number } | undefined
    const run =
      result?.run ?? told?.run ?? (remote === undefined ? null : Number(/run (\d+)/.exec(remote.message)?.[1]))
    world.note(`${call.uid} is told ${code}${run === null ? '' : ` by run ${run}`}`)
    if (result !== undefined && result.job !== call.uid)
      world.complain('call', `${call.uid} is told the result of ${result.job}`)
    call.words.push({ code, run, atMs: world.nowMs(), isPartyDead: this.isDead })
    if (call.words.length > 1) world.complain('call', `${call.uid} is told ${call.words.map((one) => one.code).join()}`)
    if (typeof code !== 'string') world.complain('exception', `${call.uid} is told: ${String(error?.stack ?? error)}`)
  }

  private callJob(uid: string): Job {
    const call = this.world.ledger.calls.get(uid)
    if (call === undefined) throw new Error(`an answerer got ${uid}, which nobody has called`)
    const { runs } = call.job
    if (!call.plan.isDurable && runs.length > 0)
      this.world.complain('once', `${uid} may be answered once, and is so after run ${runs[0]?.number}`)
    return call.job
  }

  // Families.

  private async sendFamily(family: Family): Promise<void> {
    const { world } = this
    const { root } = family
    const childOf = ({ uid, plan, children }: Member): Child =>
      child(
        (children.length > 0 ? this.parent : this.leaf) as MemberQueue,
        { uid },
        {
          ...(plan.delayMs > 0 ? { delay: plan.delayMs } : {}),
          ...(children.length > 0 ? { children: children.map(childOf), childFailure: plan.childFailure } : {}),
        },
      )
    world.note(`${this.name} sends ${root.uid} and ${family.members.length - 1} below it`)
    const options = { children: root.children.map(childOf), childFailure: root.plan.childFailure }
    try {
      await (this.parent as MemberQueue).send({ uid: root.uid }, options as SendOptions)
      family.outcome = this.isDead ? 'rejected' : 'stored'
      world.note(`${root.uid} is ${family.outcome}`)
    } catch (error) {
      family.outcome = 'rejected'
      world.note(`${root.uid} is rejected: ${(error as LeveretError).code}`)
      if (!isLoss(error) && !isRefusal(error)) world.complain('exception', `send of ${root.uid}: ${String(error)}`)
    }
  }

  private member(uid: string): Member {
    const member = this.world.ledger.members.get(uid)
    if (member === undefined) throw new Error(`a handler got ${uid}, which nobody has sent`)
    return member
  }

  private runParent(uid: string, context: HandlerContext): unknown {
    const member = this.member(uid)
    checkChildren(member, context.children, (text) => this.world.complain('family', text))
    return this.run(member.job, context)
  }

  // Handlers.

  /** Does what the plan says of the job. */
  private run(job: Job, context: HandlerContext): unknown {
    const { world } = this
    const { attempt } = context
    const run = world.ledger.begin(job, this, attempt)
    world.note(`run ${run.number} by ${this.name}: ${job.key}, attempt ${attempt}`)
    if (attempt > 1 && !job.runs.some((one) => one.attempt === attempt - 1 && one.verdict === 'failed'))
      world.complain('retry', `attempt ${attempt} of ${job.key} begins, and none before it has failed`)
    const { workMs, asks } = job.deed
    if (asks) return this.askFirst(run, context)
    if (workMs === 0) return this.finish(run, context)
    return world.test.sleep(workMs).then(() => this.finish(run, context))
  }

  /** What it asks for ends with its own deadline, and is given up when it is; whatever goes wrong there is its own failure. */
  private async askFirst(run: Run, context: HandlerContext): Promise<unknown> {
    const { world } = this
    await world.test.sleep(run.job.deed.workMs)
    const question = `${run.number} of ${run.job.key}`
    try {
      const answer = await context.call(confirmJob, question)
      if (answer !== question) world.complain('call', `run ${question} is told of ${answer}`)
    } catch (error) {
      if (typeof (error as LeveretError).code !== 'string') throw error
      world.ledger.end(run, 'failed')
      throw new PlannedFailure(`run ${run.number} of ${run.job.key}`)
    }
    return this.finish(run, context)
  }

  private async confirm(question: string): Promise<string> {
    const { world } = this
    const { confirmed } = world.ledger
    if (confirmed.has(question)) world.complain('once', `what run ${question} asks is answered twice`)
    confirmed.add(question)
    await world.test.sleep(world.prng.below(10))
    return question
  }

  private finish(run: Run, context: HandlerContext): Mark | Settlement | undefined {
    const { world } = this
    const { ledger } = world
    const { key, deed } = run.job
    if (this.isDead) {
      ledger.end(run, 'lost')
      return undefined
    }
    const failure = deed.failures[run.attempt - 1] ?? null
    world.note(`run ${run.number} ends: ${failure ?? 'done'}`)
    try {
      const mark = { job: key, run: run.number }
      context.send(marksQueue, mark)
      if (deed.emits !== null) {
        const emission = ledger.emission(deed.emits, this, run)
        run.emission = emission
        context.emit(defineEvent<Data>(deed.emits), { uid: emission.uid })
      }
      if (failure === null) {
        ledger.end(run, 'done')
        return mark
      }
    } catch (error) {
      // Its time is over, or its caller has given up: what it does counts for nothing.
      ledger.end(run, 'lost')
      if (isLoss(error) || endCodes.includes((error as LeveretError).code)) return undefined
      throw error
    }
    if (failure === 'give up' && !ledger.calls.has(key)) {
      ledger.end(run, 'given up')
      return context.deadLetter(`run ${run.number} gives up`)
    }
    ledger.end(run, 'failed')
    if (failure === 'give up') throw callError(ask, 'refused', { run: run.number })
    throw new PlannedFailure(`run ${run.number} of ${key}`)
  }
}

const endCodes: readonly unknown[] = ['E_EXPIRED', 'E_CANCELLED', 'E_DEADLINE']
