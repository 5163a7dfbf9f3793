/**
 * One process of the application: a bus with workers at all queues, what it sends, and the inbox it reads. It does what the
 * plan says and writes what it was told into the ledger.
 */

import type { BatchContext } from '../../client/batch.ts'
import type { Bus } from '../../client/bus.ts'
import { defineEvent, type EventContract } from '../../client/contract.ts'
import type { InboxIterator } from '../../client/inbox-reader.ts'
import type { IncomingMessage, ReceivedMessage } from '../../client/incoming.ts'
import type { Queue } from '../../client/queue.ts'
import { OpenReceipt, type Receipt } from '../../client/receipt.ts'
import type { ReceiptOptions, SendOptions } from '../../client/send-options.ts'
import type { Settlement } from '../../client/settlement.ts'
import type { HandlerContext } from '../../client/task.ts'
import type { Worker } from '../../client/worker-options.ts'
import type { Prng } from '../../lib/prng.ts'
import { LeveretError } from '../../model/errors.ts'
import type { TestBroker } from '../kit/test-broker.ts'
import type { Call, Ledger, Letter, LetterData, Mark, Party, Sending, Verdict, Word } from './ledger.ts'
import { type Failure, type LetterMaker, mayRetry, type Plan, type QueuePlan } from './plan.ts'

/** What all processes of a history share. */
export interface World {
  readonly plan: Plan
  readonly test: TestBroker
  readonly ledger: Ledger
  /** For what is decided when it happens. */
  readonly prng: Prng
  readonly maker: LetterMaker
  nowMs(): number
  /** Something has happened. */
  note(line: string): void
  complain(invariant: string, text: string): void
}

/** What handlers send with every commit goes here, and is looked at in the end. */
export const marksQueue = 'marks'
/** What is emitted comes here. */
export const heardQueue = 'heard'
/** What has expired, of queues that keep it. */
export const expiredQueue = 'expired'
export const finished: EventContract<Mark> = defineEvent<Mark>('letters.finished')

/** Thrown by handlers. */
export class PlannedFailure extends Error {
  override readonly name: string = 'PlannedFailure'
}

type WorkQueue = Queue<LetterData, Mark | undefined>

export class AppProcess implements Party {
  readonly slot: number
  readonly life: number
  readonly name: string
  isDead = false
  private isClosing = false
  readonly bus: Bus
  private readonly world: World
  private readonly queues: Map<string, WorkQueue> = new Map()
  private readonly workers: Map<string, Worker> = new Map()
  private marks!: Queue<Mark>

  private constructor(world: World, slot: number, life: number, bus: Bus, name: string) {
    this.world = world
    this.slot = slot
    this.life = life
    this.bus = bus
    this.name = name
  }

  /** Connects, and works from then on; null: the broker has gone meanwhile. */
  static async start(world: World, slot: number, life: number, name: string): Promise<AppProcess | null> {
    let app: AppProcess | null = null
    const onError = (error: Error): void => app?.hears(error)
    try {
      const bus = await world.test.connect({ onError })
      app = new AppProcess(world, slot, life, bus, name)
      world.note(`${name} has connected`)
      await app.begin()
      return app
    } catch (error) {
      if (app !== null) app.isDead = true
      if (isLoss(error)) return null
      throw error
    }
  }

  get sender(): string {
    return `sender-${this.slot}`
  }

  /** Sends it, once. */
  async send(letter: Letter): Promise<void> {
    const { world } = this
    const { plan, uid } = letter
    const queue = this.queues.get(plan.queue.name) as WorkQueue
    const sending = world.ledger.sending(letter, this, null)
    world.note(`${this.name} sends ${uid} to ${plan.queue.name} (send ${sending.number})`)
    try {
      const sent = await queue.send({ uid }, this.optionsFor(sending))
      if (this.isDead) {
        sending.outcome = 'rejected'
        return
      }
      sending.outcome = 'stored'
      sending.id = sent.id
      if (sent instanceof OpenReceipt) sending.answeredAs = sent.messageId
      for (const id of [sent.id, sending.answeredAs]) world.ledger.byMessageId.set(id, letter)
      sending.isDuplicate = sent.duplicate
      world.note(`send ${sending.number} is stored${sent.duplicate ? ' already' : ''}`)
      if (plan.receipt !== 'none') this.awaitPromise(sending, sent as Receipt<Mark | undefined>)
    } catch (error) {
      sending.outcome = 'rejected'
      const { code } = error as LeveretError
      world.note(`send ${sending.number} is rejected: ${code}`)
      if (!isLoss(error) && !isRefusal(error)) world.complain('exception', `send of ${uid}: ${String(error)}`)
    }
  }

  /** Closes the worker of a queue in good order, and starts another. */
  async changeWorker(plan: QueuePlan): Promise<void> {
    const worker = this.workers.get(plan.name)
    if (worker === undefined || this.isDead) return
    this.world.note(`${this.name} closes its worker of ${plan.name}`)
    await worker.close({ timeout: '50ms' })
    if (!this.isDead) this.work(plan)
  }

  /** Takes what is in its inbox, until there is nothing left. */
  async readInbox(): Promise<void> {
    await this.takeFrom(this.bus.receipts({ sender: this.sender, wait: false }))
  }

  /** Ends in good order. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosing = true
    await this.bus.close({ timeout: timeoutMs })
  }

  private async begin(): Promise<void> {
    const { bus, world } = this
    const { plan, prng } = world
    await bus.createQueue(expiredQueue)
    this.marks = await bus.createQueue<Mark>(marksQueue)
    await bus.createQueue(heardQueue)
    await bus.importDefinitions({ bindings: [{ ...eventBinding, arguments: {} }] })
    for (const queue of plan.queues) this.queues.set(queue.name, await this.create(queue))
    for (const queue of plan.queues) this.work(queue)
    const reads = prng.below(3)
    if (reads === 0) await this.readInbox()
    else if (reads === 1) void this.keepReading()
  }

  private async keepReading(): Promise<void> {
    try {
      await this.takeFrom(this.bus.receipts({ sender: this.sender }))
    } catch (error) {
      if (!isLoss(error)) this.world.complain('exception', `reading the inbox of ${this.name}: ${String(error)}`)
    }
  }

  private async takeFrom(inbox: InboxIterator): Promise<void> {
    const { world } = this
    for (;;) {
      const { done, value } = await inbox.next()
      if (done === true || this.isDead) return
      const { id, status, result, error } = value
      const mark = result as Mark | undefined
      world.note(`the inbox of ${this.name} says ${status} of ${id}`)
      if (world.prng.chance(0.2)) await world.test.sleep(world.prng.below(30))
      // From here on it does not come again: asking for the next one acknowledges it.
      if (this.isDead) return
      const call = mark?.call ?? null
      const uid = mark?.uid ?? world.ledger.byMessageId.get(id)?.uid ?? ''
      const text = error?.message ?? ''
      const word: Word = {
        status,
        call,
        text,
        atMs: world.nowMs(),
        life: this.life,
        via: 'inbox',
        id,
        isSure: !this.isClosing,
      }
      world.ledger.letters.get(uid)?.inboxWords.push(word)
    }
  }

  private hears(error: Error): void {
    const { code } = error as LeveretError
    if (code === 'E_CONNECTION_LOST' && error.message.includes('the connection to the broker has ended')) {
      if (!this.isDead) this.world.note(`${this.name} is dead`)
      this.isDead = true
    } else if (typeof code !== 'string' && !(error instanceof PlannedFailure)) {
      this.world.complain('exception', `${this.name} was told: ${error.stack ?? String(error)}`)
    }
  }

  private create(plan: QueuePlan): Promise<WorkQueue> {
    const { retry, keys } = plan
    const { attempts, backoff, jitter } = retry
    return this.bus.createQueue<LetterData, Mark | undefined>(plan.name, {
      retry: { attempts, backoff, jitter, min: retry.minMs, max: retry.maxMs },
      ...(plan.hasDeadLetters ? {} : { deadLetter: false }),
      ...(keys === null ? {} : { keys }),
      ...(plan.hasPriorities ? { maxPriority: 3 } : {}),
      ...(plan.maxLength === null ? {} : { maxLength: plan.maxLength, overflow: 'reject' }),
      ...(plan.keepsExpired
        ? { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': expiredQueue } }
        : {}),
    })
  }

  // Sending.

  private optionsFor(sending: Sending): ReceiptOptions<Mark | undefined> {
    const { plan, uid } = sending.letter
    const { key, ttlMs, deadlineMs, delayMs, priority } = plan
    const options: { -readonly [Name in keyof SendOptions]: SendOptions[Name] } = {}
    if (key !== null) options.key = key
    if (plan.isIdempotent) options.idempotencyKey = uid
    if (ttlMs !== null) options.ttl = ttlMs
    if (deadlineMs !== null) options.deadline = deadlineMs
    if (delayMs > 0) options.delay = delayMs
    if (priority > 0) options.priority = priority
    if (plan.receipt === 'none') return options as ReceiptOptions<Mark | undefined>
    const { world } = this
    const told = (error: LeveretError | null, result: Mark | undefined): void => {
      const word = this.wordOf(error, result)
      world.note(`send ${sending.number} is told ${word.status}${word.call === null ? '' : ` by call ${word.call}`}`)
      world.ledger.told(sending, word)
    }
    return {
      ...options,
      ...(plan.receipt === 'named' ? { sender: this.sender } : {}),
      onDelivered: () => this.began(sending),
      onProgress: () => this.progressed(sending),
      onProcessed: told,
    }
  }

  private began(sending: Sending): void {
    if (this.isDead) return
    sending.starts++
    const { number, letter, words, starts } = sending
    if (starts > 1 || words.length > 0)
      this.world.complain('receipt', `send ${number} of ${letter.uid} was told late or twice that a worker has begun`)
  }

  private progressed(sending: Sending): void {
    if (this.isDead || sending.words.length === 0) return
    this.world.complain(
      'receipt',
      `send ${sending.number} of ${sending.letter.uid} was told of progress behind its end`,
    )
  }

  private awaitPromise(sending: Sending, receipt: Receipt<Mark | undefined>): void {
    receipt.processed().then(
      (result) => {
        sending.promised = this.wordOf(null, result)
      },
      (error: LeveretError) => {
        sending.promised = this.wordOf(error, undefined)
      },
    )
  }

  private wordOf(error: LeveretError | null, result: Mark | undefined): Word {
    const common = {
      text: error?.message ?? '',
      atMs: this.world.nowMs(),
      life: this.life,
      via: 'callback',
      id: '',
      isSure: true,
    } as const
    if (error === null) return { status: 'processed', call: result?.call ?? null, ...common }
    if (error.code === 'E_EXPIRED') return { status: 'expired', call: null, ...common }
    if (error.code !== 'E_NOT_PROCESSED') return { status: 'unknown', call: null, ...common }
    const status = error.message.includes('was dead-lettered') ? 'dead-lettered' : 'failed'
    return { status, call: null, ...common }
  }

  // Working.

  private work(plan: QueuePlan): void {
    const queue = this.queues.get(plan.name) as WorkQueue
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

  private keep(plan: QueuePlan, worker: Worker): void {
    const { world } = this
    this.workers.set(plan.name, worker)
    worker.closed().catch((error: LeveretError) => {
      if (isLoss(error)) return
      // One that is refused again and again gives up; whoever has it starts another.
      if (!world.plan.isNarrow || (error.code as string) !== 'PRECONDITION_FAILED') {
        return world.complain('exception', `the worker of ${plan.name} ended: ${String(error)}`)
      }
      world.note(`a worker of ${this.name} gives up`)
      void world.test.sleep(20).then(() => {
        if (!this.isDead && !this.isClosing) this.work(plan)
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
      if (leaseMs === null || this.isDead) continue
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
      context.send(this.marks, { uid: call.letter.uid, call: call.number })
      this.world.complain('lease', `call ${call.number} of ${call.letter.uid} has lost its lease, and may send`)
    } catch (error) {
      if (!isLoss(error)) this.world.complain('exception', `sending behind a lease: ${String(error)}`)
    }
    return { uid: call.letter.uid, call: call.number }
  }

  private finish(call: Call, failure: Failure | null, context: HandlerContext): Mark | Settlement | undefined {
    const { ledger } = this.world
    if (this.isDead) {
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
    if (this.isDead) {
      for (const call of calls) ledger.end(call, { kind: 'lost' })
      return []
    }
    this.world.note(`the batch of call ${first.number} ends with ${calls.length}`)
    if (mayRetry(plan, this.world.plan.keyedRetries) && prng.chance(0.1)) {
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
        if (this.isDead) return
        await this.settle(plan, message)
      }
    } catch (error) {
      // An answer or a dead letter is sent like anything else, and may be refused: then its message comes again.
      if (isRefusal(error) && !this.isDead) return await this.receiveFrom(plan, queue, prefetch)
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
    const call = ledger.begin(plan, message.data, message.id ?? '', attempt, this)
    const again = message.redelivered ? ', which came before' : ''
    this.world.note(`call ${call.number} by ${this.name}: ${message.data.uid}, attempt ${attempt}${again}`)
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
      ?.calls.find((one) => one.attempt === attempt && one.party === this && one.verdict === null)
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
    context.send(this.marks, mark)
    call.marks = 1
    for (let index = 0; index < plan.children; index++) {
      const queue = world.maker.later(plan.queue)
      const letter = world.ledger.letter(`${uid}/${call.number}.${index}`, world.maker.make(queue, true), call, index)
      const sending = world.ledger.sending(letter, this, call)
      call.children.push(letter)
      const to = this.queues.get(queue.name) as WorkQueue
      sending.id = context.send(to, { uid: letter.uid }, this.optionsFor(sending)).id
      sending.answeredAs = sending.id
      world.ledger.byMessageId.set(sending.id, letter)
    }
    if (!plan.emits) return
    context.emit(finished, mark)
    call.emits = 1
  }
}

type HandlerReturn = Mark | Settlement | undefined | Promise<Mark | Settlement | undefined>
type BatchResults = (Mark | Settlement)[]

const eventBinding = {
  source: 'amq.topic',
  vhost: '/',
  destination: heardQueue,
  destination_type: 'queue',
  routing_key: 'letters.#',
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

const lossCodes: readonly unknown[] = ['E_CONNECTION_LOST', 'E_CLOSED', 'E_CONNECT_FAILED', 'E_LEASE_LOST']

function isRefusal(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === 'E_REFUSED'
}

/** Its process or its broker has gone, or its lease: what a test of crashes expects. */
function isLoss(error: unknown): boolean {
  return lossCodes.includes((error as { readonly code?: unknown } | null)?.code)
}
