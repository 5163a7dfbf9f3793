/**
 * Works at the queues of one process, in the ways of the plan: handlers of one message, of batches, and receivers. They do with
 * each letter what its plan says, and write every call into the ledger.
 */
import type { BatchContext } from '../../../client/batch.ts'
import type { IncomingMessage, ReceivedMessage } from '../../../client/incoming.ts'
import type { Settlement } from '../../../client/settlement.ts'
import type { HandlerContext } from '../../../client/task.ts'
import type { Worker } from '../../../client/worker-options.ts'
import type { LeveretError } from '../../../model/errors.ts'
import { isLoss, isRefusal, PlannedFailure } from '../expected-errors.ts'
import type { Call, LetterData, Mark, Verdict } from './ledger.ts'
import type { LetterSender, SendingParty } from './letter-sender.ts'
import type { Failure, QueuePlan } from './plan.ts'
import { type ApiWorld, finished, marksQueue, type WorkQueue } from './world.ts'

/** The process that works. */
export interface WorkingParty extends SendingParty {
  readonly isClosing: boolean
}

type HandlerReturn = Mark | Settlement | undefined | Promise<Mark | Settlement | undefined>
type BatchResults = (Mark | Settlement)[]

export class LetterHandlers {
  private readonly world: ApiWorld
  private readonly party: WorkingParty
  /** What handlers send is sent like anything else. */
  private readonly letters: LetterSender
  private readonly workers: Map<string, Worker> = new Map()

  constructor(world: ApiWorld, party: WorkingParty, letters: LetterSender) {
    this.world = world
    this.party = party
    this.letters = letters
  }

  /** Begins to take the messages of a queue. */
  work(plan: QueuePlan): void {
    const queue = this.party.queues.get(plan.name) as WorkQueue
    const { work } = plan
    if (work.way === 'receive') {
      void this.receiveFrom(plan, queue, work.prefetch)
      return
    }
    const onError = (error: unknown, message: IncomingMessage, attempt: number): void =>
      this.attemptFailed(error, message, attempt)
    const more = work.leaseMs === null ? { onError } : { lease: work.leaseMs, onError }
    if (work.way === 'process') {
      const { concurrency, prefetch } = work
      const handler = (message: IncomingMessage<LetterData>, context: HandlerContext): HandlerReturn =>
        this.handle(plan, message, context)
      this.keep(plan, queue.process(handler, { concurrency, prefetch, ...more }))
    } else {
      const { size, waitMs, concurrency } = work
      const handler = (
        messages: readonly IncomingMessage<LetterData>[],
        context: BatchContext,
      ): Promise<BatchResults> => this.handleBatch(plan, messages, context)
      this.keep(plan, queue.processBatch(handler, { size, wait: waitMs, concurrency, ...more }))
    }
  }

  /** Closes the worker of a queue in good order, and starts another. */
  async changeWorker(plan: QueuePlan): Promise<void> {
    const worker = this.workers.get(plan.name)
    if (worker === undefined || this.party.isDead) return
    this.world.note(`${this.party.name} closes its worker of ${plan.name}`)
    await worker.close({ timeout: '50ms' })
    if (!this.party.isDead) this.work(plan)
  }

  private keep(plan: QueuePlan, worker: Worker): void {
    const { world } = this
    this.workers.set(plan.name, worker)
    worker.closed().catch((error: LeveretError) => {
      if (isLoss(error)) return
      // One that is refused again and again gives up; whoever has it starts another.
      if (!world.plan.isNarrow || (error.code as string) !== 'PRECONDITION_FAILED') {
        return world.complain('exception', `the worker of ${plan.name} ended: ${String(error)}`)
      }
      world.note(`a worker of ${this.party.name} gives up`)
      void world.test.sleep(20).then(() => {
        if (!this.party.isDead && !this.party.isClosing) this.work(plan)
      })
    })
  }

  private handle(plan: QueuePlan, message: IncomingMessage<LetterData>, context: HandlerContext): HandlerReturn {
    const call = this.beginCall(plan, message, context.attempt)
    const { tellsProgress, workMs } = call.letter.plan
    if (tellsProgress) context.progress(0.5)
    const failure = failureOf(call)
    if (failure === 'outlast the lease' && leaseOf(plan) !== null) return this.outlast(call, context)
    if (workMs === 0) return this.finish(call, failure, context)
    return this.sleep(call, context, workMs).then(() => this.finish(call, failure, context))
  }

  /** Takes its time, and keeps its lease meanwhile. */
  private async sleep({ letter }: Call, context: HandlerContext | BatchContext, ms: number): Promise<void> {
    const { test } = this.world
    const leaseMs = leaseOf(letter.plan.queue)
    for (let left = ms; left > 0; ) {
      const piece = leaseMs === null ? left : Math.min(left, leaseMs / 2)
      await test.sleep(piece)
      left -= piece
      if (leaseMs === null || this.party.isDead) continue
      try {
        context.extend()
      } catch (error) {
        if (!isLoss(error)) this.world.complain('exception', `extending a lease: ${String(error)}`)
      }
    }
  }

  private async outlast(call: Call, context: HandlerContext): Promise<Mark> {
    const { test } = this.world
    const leaseMs = leaseOf(call.letter.plan.queue) as number
    await test.sleep(leaseMs * 2)
    this.world.note(`call ${call.number} ends behind its lease`)
    try {
      context.send(marksQueue, { uid: call.letter.uid, call: call.number })
      this.world.complain('lease', `call ${call.number} of ${call.letter.uid} has lost its lease, and may send`)
    } catch (error) {
      if (!isLoss(error)) this.world.complain('exception', `sending behind a lease: ${String(error)}`)
    }
    return { uid: call.letter.uid, call: call.number }
  }

  private finish(call: Call, failure: Failure | null, context: HandlerContext): Mark | Settlement | undefined {
    const { ledger } = this.world
    if (this.party.isDead) {
      ledger.end(call, { kind: 'lost' })
      return undefined
    }
    const { uid, plan } = call.letter
    this.world.note(`call ${call.number} ends: ${failure ?? 'done'}`)
    if (failure === 'give up') {
      ledger.end(call, { kind: 'given up', error: `given up: ${uid}` })
      return context.deadLetter(`given up: ${uid}`)
    }
    if (failure !== null) {
      // What a failed attempt has sent is to vanish with it.
      this.commitWith(call, context)
      call.marks = 0
      call.emits = 0
      call.children.length = 0
      if (failure === 'retry') {
        ledger.end(call, this.failedAttempt(call, 'the handler asked for another attempt', 5))
        return context.retry({ after: 5 })
      }
      const error = new PlannedFailure(`call ${call.number} of ${uid}`)
      ledger.end(call, this.failedAttempt(call, error.message, null))
      throw error
    }
    try {
      this.commitWith(call, context)
    } catch (error) {
      ledger.end(call, { kind: 'lost' })
      if (isLoss(error)) return undefined
      throw error
    }
    ledger.end(call, { kind: 'done' })
    return plan.isSilent && plan.receipt === 'none' ? undefined : { uid, call: call.number }
  }

  private async handleBatch(
    plan: QueuePlan,
    messages: readonly IncomingMessage<LetterData>[],
    context: BatchContext,
  ): Promise<BatchResults> {
    const { ledger, prng, test } = this.world
    const calls = messages.map((message) => this.beginCall(plan, message, attemptOf(message)))
    const failures = calls.map((call) => failureOf(call))
    const [first] = calls
    if (first === undefined) throw new Error('a batch is empty')
    const leaseMs = leaseOf(plan)
    if (leaseMs !== null && failures.includes('outlast the lease')) {
      await test.sleep(leaseMs * 2)
      this.world.note(`the batch of call ${first.number} ends behind its lease`)
      return []
    }
    const workMs = Math.max(...calls.map(({ letter }) => letter.plan.workMs))
    if (workMs > 0) await this.sleep(first, context, workMs)
    if (this.party.isDead) {
      for (const call of calls) ledger.end(call, { kind: 'lost' })
      return []
    }
    this.world.note(`the batch of call ${first.number} ends with ${calls.length}`)
    if (prng.chance(0.1)) {
      for (const call of calls) ledger.end(call, this.failedAttempt(call, 'the whole batch', null))
      throw new PlannedFailure('the whole batch')
    }
    return calls.map((call, at) => this.finishMember(call, failures[at] ?? null, context))
  }

  private finishMember(call: Call, failure: Failure | null, context: BatchContext): Mark | Settlement {
    const { ledger } = this.world
    const { uid } = call.letter
    if (failure === 'give up') {
      ledger.end(call, { kind: 'given up', error: `given up: ${uid}` })
      return context.deadLetter(`given up: ${uid}`)
    }
    if (failure !== null) {
      ledger.end(call, this.failedAttempt(call, 'the handler asked for another attempt', null))
      return context.retry()
    }
    this.commitWith(call, context)
    ledger.end(call, { kind: 'done' })
    return { uid, call: call.number }
  }

  private async receiveFrom(plan: QueuePlan, queue: WorkQueue, prefetch: number): Promise<void> {
    try {
      for await (const message of queue.receive({ prefetch })) {
        if (this.party.isDead) return
        await this.settle(plan, message)
      }
    } catch (error) {
      // An answer or a dead letter is sent like anything else, and may be refused: then its message comes again.
      if (isRefusal(error) && !this.party.isDead) return await this.receiveFrom(plan, queue, prefetch)
      if (!isLoss(error)) this.world.complain('exception', `receiving from ${plan.name}: ${String(error)}`)
    }
  }

  private async settle(plan: QueuePlan, message: ReceivedMessage<LetterData, Mark | undefined>): Promise<void> {
    const { ledger, test } = this.world
    const call = this.beginCall(plan, message, 1)
    const { uid, plan: letter, calls } = call.letter
    if (letter.workMs > 0) await test.sleep(letter.workMs)
    const failure = letter.failures[calls.length - 1] ?? null
    this.world.note(`call ${call.number} settles: ${failure ?? 'done'}`)
    if (failure === 'give up') {
      ledger.end(call, { kind: 'given up', error: `given up: ${uid}` })
      await message.reject(`given up: ${uid}`)
    } else if (failure === null) {
      ledger.end(call, { kind: 'done' })
      await message.ack({ uid, call: call.number })
    } else {
      ledger.end(call, { kind: 'lost' })
      await message.nack()
    }
  }

  private beginCall(plan: QueuePlan, message: IncomingMessage<LetterData>, attempt: number): Call {
    const { ledger } = this.world
    const call = ledger.begin(plan, message.data, message.id ?? '', attempt, this.party)
    const again = message.redelivered ? ', which came before' : ''
    this.world.note(`call ${call.number} by ${this.party.name}: ${message.data.uid}, attempt ${attempt}${again}`)
    return call
  }

  /** The worker says so: of a lease that is over nobody else does. */
  private attemptFailed(error: unknown, message: IncomingMessage, attempt: number): void {
    const { world } = this
    if (error instanceof PlannedFailure) return
    if ((error as LeveretError).code !== 'E_LEASE_LOST') {
      return world.complain('exception', `an attempt at ${message.id} failed: ${String(error)}`)
    }
    const call = world.ledger.byMessageId
      .get(message.id ?? '')
      ?.calls.find((one) => one.attempt === attempt && one.party === this.party && one.verdict === null)
    if (call !== undefined) world.ledger.end(call, this.failedAttempt(call, 'lease', null))
  }

  private failedAttempt(call: Call, error: string, pauseMs: number | null): Verdict {
    const { minMs, maxMs, backoff, jitter } = call.letter.plan.queue.retry
    const full = Math.min(maxMs, minMs * (backoff === 'fixed' ? 1 : 2 ** (call.attempt - 1)))
    return { kind: 'failed', error, pauseMs: pauseMs ?? (jitter ? full / 2 : full) }
  }

  /** Sends what is to be stored with the commit of this call. */
  private commitWith(call: Call, context: HandlerContext | BatchContext): void {
    const { world } = this
    const { uid, plan } = call.letter
    if (plan.isSilent) return
    const mark = { uid, call: call.number }
    context.send(marksQueue, mark)
    call.marks = 1
    for (let index = 0; index < plan.children; index++) {
      const queue = world.maker.later(plan.queue)
      const letter = world.ledger.letter(`${uid}/${call.number}.${index}`, world.maker.make(queue, true), call, index)
      const sending = world.ledger.sending(letter, this.party, call)
      call.children.push(letter)
      const to = this.party.queues.get(queue.name) as WorkQueue
      sending.id = context.send(to, { uid: letter.uid }, this.letters.optionsFor(sending)).id
      sending.answeredAs = sending.id
      world.ledger.byMessageId.set(sending.id, letter)
    }
    if (!plan.emits) return
    context.emit(finished, mark)
    call.emits = 1
  }
}

function leaseOf({ work }: QueuePlan): number | null {
  return work.way === 'receive' ? null : work.leaseMs
}

/** What the plan says of this attempt; a lease that nobody has cannot be lost. */
function failureOf({ letter, attempt }: Call): Failure | null {
  const failure = letter.plan.failures[attempt - 1] ?? null
  return failure === 'outlast the lease' && leaseOf(letter.plan.queue) === null ? 'throw' : failure
}

function attemptOf({ headers }: IncomingMessage): number {
  const attempt = headers['x-leveret-attempt']
  return typeof attempt === 'number' ? attempt : 1
}
