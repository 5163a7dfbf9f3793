/**
 * The threads of a worker. To the worker it is a handler like any other: what it is called with goes to a thread, and what
 * becomes of that there is what the call ends with.
 *
 *     started → loaded → runs handlers ──ends──→ its messages fail; another is started, at once or after a pause
 *                                      ──lease lost, and it does not stop──→ terminated: the same
 */
import { Deque } from '../lib/deque.ts'
import { LeveretError } from '../model/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Thread, Threads } from '../platform/threads.ts'
import type { ChildOutcome } from './child-outcome.ts'
import { clientLimits } from './client-limits.ts'
import { defineEvent, type EventContract } from './contract.ts'
import type { ThreadData } from './handler-thread.ts'
import { asError } from './headers.ts'
import { GiveUp, RetryLater } from './settlement.ts'
import type { Task } from './task.ts'
import {
  type CarriedAnswer,
  type CarriedChild,
  type CarriedSend,
  carryError,
  type FromThread,
  type RunMessage,
  rebuildError,
  type ToThread,
} from './thread-messages.ts'

const program = new URL('./handler-thread.js', import.meta.url)

export interface PoolSettings {
  readonly queue: string
  readonly file: URL
  readonly threads: number
  /** Of handlers; null: they may take their time. */
  readonly leaseMs: number | null
  /** A schema makes the data, so these are told beside the bytes. */
  readonly isChecked: boolean
}

/** A call of the handler. */
interface Run {
  readonly id: number
  readonly task: Task
  readonly data: unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  /** Calls that its handler waits for, each with what gives it up; null: it never made one. */
  calls: Map<number, AbortController> | null
  seat: Seat | null
  isOverdue: boolean
}

/** The place of a thread; who has it may change. */
interface Seat {
  thread: Thread | null
  isLoaded: boolean
  /** Why its thread is being terminated; null: it is not. */
  stopped: LeveretError | null
  readonly runs: Map<number, Run>
  /** Handlers that have lost their lease and run on: it gets no more as long as it is not clear whether it lives. */
  overdue: number
  /** Threads in a row that ended without a handler that did. */
  losses: number
  cancelPause: (() => void) | null
}

export class HandlerPool {
  private readonly clock: Clock
  private readonly threads: Threads
  private readonly settings: PoolSettings
  private readonly report: (error: Error) => void
  private readonly what: string
  private readonly seats: Seat[] = []
  private readonly waiting = new Deque<Run>()
  /** Events by their names: an outlet belongs to one contract. */
  private readonly events = new Map<string, EventContract>()
  private lastRun = 0
  private hasLoaded = false
  private starting: Promise<void> | null = null
  private started: () => void = () => {}
  private unusable: (error: Error) => void = () => {}
  private closing: Promise<void> | null = null
  private isClosed = false

  constructor(clock: Clock, threads: Threads, settings: PoolSettings, report: (error: Error) => void) {
    this.clock = clock
    this.threads = threads
    this.settings = settings
    this.report = report
    this.what = `queue '${settings.queue}'`
  }

  /** Resolves when all threads have loaded the handler; rejects with E_BAD_OPTION if it cannot be loaded. */
  start(): Promise<void> {
    if (this.starting === null) {
      this.starting = new Promise((resolve, reject) => {
        this.started = resolve
        this.unusable = reject
      })
      this.starting.catch(() => {})
      for (let at = 0; at < this.settings.threads; at++) {
        const seat: Seat = {
          thread: null,
          isLoaded: false,
          stopped: null,
          runs: new Map(),
          overdue: 0,
          losses: 0,
          cancelPause: null,
        }
        this.seats.push(seat)
        this.occupy(seat)
      }
    }
    return this.starting
  }

  /** The handler: settles as it does in its thread; rejects with E_THREAD_LOST if that ends under it. */
  run(data: unknown, task: Task): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const run: Run = { id: ++this.lastRun, task, data, resolve, reject, calls: null, seat: null, isOverdue: false }
      task.signal.addEventListener('abort', () => this.aborted(run), { once: true })
      const seat = this.freest()
      if (seat === null) this.waiting.push(run)
      else this.begin(run, seat)
    })
  }

  /** Not all threads have loaded the file yet, nor has one said that it cannot. */
  get isStarting(): boolean {
    return this.starting !== null && !this.hasLoaded
  }

  /** Terminates all threads; resolves when none is left. */
  close(): Promise<void> {
    this.closing ??= this.closeAll()
    return this.closing
  }

  private async closeAll(): Promise<void> {
    this.isClosed = true
    const error = new LeveretError('E_CLOSED', `${this.what}: the worker was closed, and its threads ended`)
    this.unusable(error)
    for (let run = this.waiting.shift(); run !== undefined; run = this.waiting.shift()) run.reject(error)
    const ending: Promise<void>[] = []
    for (const seat of this.seats) {
      seat.cancelPause?.()
      seat.stopped ??= error
      if (seat.thread !== null) ending.push(seat.thread.terminate())
    }
    await Promise.all(ending)
  }

  // Runs.

  private freest(): Seat | null {
    let best: Seat | null = null
    for (const seat of this.seats) {
      if (!seat.isLoaded || seat.stopped !== null || seat.overdue > 0) continue
      if (best === null || seat.runs.size < best.runs.size) best = seat
    }
    return best
  }

  private begin(run: Run, seat: Seat): void {
    const { task } = run
    const { queue, leaseMs, isChecked } = this.settings
    const { message, redelivered, attempt, deadlineMs } = task
    const propertiesBytes = message.propertiesEnd - message.propertiesStart
    const bytes = new ArrayBuffer(propertiesBytes + message.bodyBytes)
    const target = new Uint8Array(bytes)
    target.set(message.source.subarray(message.propertiesStart, message.propertiesEnd), 0)
    target.set(message.source.subarray(message.bodyStart, message.bodyEnd), propertiesBytes)
    const { exchange, routingKey } = message
    const checked = isChecked ? { data: run.data } : null
    const about = {
      run: run.id,
      queue,
      exchange,
      routingKey,
      redelivered,
      attempt,
      deadlineMs,
      children: task.children.map(carryChild),
      hasLease: leaseMs !== null,
      checked,
    }
    const told: RunMessage = { kind: 'run', ...about, bytes, propertiesBytes }
    try {
      this.tell(seat, told, [bytes])
    } catch (error) {
      const text = `${this.what}: what its schema makes of the data cannot be copied to a thread: ${(error as Error).message}`
      return run.reject(new LeveretError('E_BAD_DATA', text, error))
    }
    run.seat = seat
    seat.runs.set(run.id, run)
  }

  private aborted(run: Run): void {
    const { seat } = run
    const reason = run.task.signal.reason as Error
    // One that waits for a thread has lost its message, and nobody will hear what it ends with.
    if (seat === null || !seat.runs.has(run.id)) return
    this.tell(seat, { kind: 'abort', run: run.id, reason: carryError(reason) })
    if (!(reason instanceof LeveretError) || reason.code !== 'E_LEASE_LOST') return
    // Less than a lease: who waits for the thread meanwhile must not lose its own.
    const graceMs = Math.min(clientLimits.threadGraceMs, (this.settings.leaseMs ?? 0) / 2)
    seat.overdue++
    run.isOverdue = true
    this.clock.setTimer(graceMs, () => {
      if (!seat.runs.has(run.id)) return
      const text = `${this.what}: a handler ran on for ${graceMs} ms after it had lost its lease, so its thread was stopped`
      this.stop(seat, new LeveretError('E_THREAD_LOST', text))
    })
  }

  private stop(seat: Seat, reason: LeveretError): void {
    if (seat.stopped !== null) return
    seat.stopped = reason
    void seat.thread?.terminate()
  }

  // Threads.

  private occupy(seat: Seat): void {
    seat.isLoaded = false
    seat.stopped = null
    seat.overdue = 0
    const data: ThreadData = { file: this.settings.file.href }
    try {
      seat.thread = this.threads.start(program, data, {
        received: (message) => this.received(seat, message as FromThread),
        ended: (reason) => this.ended(seat, reason),
      })
    } catch (error) {
      // The system gives no more of them.
      this.ended(seat, asError(error))
    }
  }

  private received(seat: Seat, message: FromThread): void {
    if (message.kind === 'loaded') return this.loaded(seat)
    if (message.kind === 'unusable') return this.cannotLoad(seat, rebuildError(message.error))
    const run = seat.runs.get(message.run)
    if (run === undefined) return
    if (message.kind === 'progress') run.task.progress(message.share)
    else if (message.kind === 'extend') this.extend(run.task, message.by)
    else if (message.kind === 'call') void this.call(run, message)
    else if (message.kind === 'cancel') run.calls?.get(message.call)?.abort()
    else {
      seat.runs.delete(run.id)
      seat.losses = 0
      if (run.isOverdue) seat.overdue--
      if (message.kind === 'threw') run.reject(rebuildError(message.error))
      else this.returned(run, message)
      this.beginWaiting()
    }
  }

  private extend(task: Task, by: Parameters<Task['extend']>[0]): void {
    try {
      task.extend(by)
    } catch {
      // It was lost while the word was on its way, and the thread is told so.
    }
  }

  /** On behalf of the handler, which has no bus in its thread. */
  private async call(run: Run, { call, name, data, options }: FromThread & { kind: 'call' }): Promise<void> {
    const controller = new AbortController()
    run.calls ??= new Map()
    run.calls.set(call, controller)
    let answer: CarriedAnswer
    try {
      answer = { kind: 'result', result: await run.task.call(name, data, { ...options, signal: controller.signal }) }
    } catch (error) {
      answer = { kind: 'error', error: carryError(error) }
    }
    run.calls.delete(call)
    const { seat } = run
    if (seat?.runs.has(run.id) === true) this.tell(seat, { kind: 'answer', run: run.id, call, answer })
  }

  private returned({ task, resolve, reject }: Run, { result, sends }: FromThread & { kind: 'returned' }): void {
    try {
      for (const sent of sends) this.sendFor(task, sent)
    } catch (error) {
      return reject(error as Error)
    }
    if (result.kind === 'retry') resolve(new RetryLater(result.after))
    else if (result.kind === 'dead-letter') resolve(new GiveUp(result.reason))
    else resolve(result.value)
  }

  private sendFor(task: Task, sent: CarriedSend): void {
    if (sent.kind === 'emit') task.emit(this.eventOf(sent.event), sent.data, sent.options)
    else task.send({ kind: 'queue', name: sent.queue, input: undefined, result: undefined }, sent.data, sent.options)
  }

  private eventOf(name: string): EventContract {
    const known = this.events.get(name)
    if (known !== undefined) return known
    const event = defineEvent(name)
    if (this.events.size < clientLimits.eventsRememberedMax) this.events.set(name, event)
    return event
  }

  private loaded(seat: Seat): void {
    seat.isLoaded = true
    if (!this.seats.every(({ isLoaded }) => isLoaded) && !this.hasLoaded) return
    this.hasLoaded = true
    this.started()
    this.beginWaiting()
  }

  private beginWaiting(): void {
    while (this.waiting.length > 0) {
      const free = this.freest()
      const run = free === null ? undefined : this.waiting.shift()
      if (free === null || run === undefined) return
      // It has waited for a thread, not worked: its lease begins now.
      if (this.settings.leaseMs !== null) this.extend(run.task, undefined)
      if (!run.task.isLost) this.begin(run, free)
    }
  }

  private cannotLoad(seat: Seat, error: Error): void {
    const { href } = this.settings.file
    const text = `${this.what}: the handler's file ${href} cannot be loaded: ${error.message}`
    const reason = new LeveretError('E_BAD_OPTION', text, error)
    this.unusable(reason)
    this.stop(seat, reason)
  }

  private ended(seat: Seat, cause: Error): void {
    const reason = seat.stopped ?? this.lostError(cause)
    const runs = [...seat.runs.values()]
    seat.runs.clear()
    seat.thread = null
    seat.isLoaded = false
    for (const run of runs) run.reject(reason)
    if (this.isClosed) return
    // Before any thread could be used that is the end of the worker.
    if (!this.hasLoaded) return this.unusable(reason)
    // Who has lost a message tells of it.
    if (runs.length === 0) this.report(reason)
    const { threadPauseMinMs, threadPauseMaxMs } = clientLimits
    const { losses } = seat
    seat.losses++
    const pauseMs = losses === 0 ? 0 : Math.min(threadPauseMaxMs, threadPauseMinMs * 2 ** (losses - 1))
    seat.cancelPause = this.clock.setTimer(pauseMs, () => {
      seat.cancelPause = null
      this.occupy(seat)
    })
  }

  private lostError(cause: Error): LeveretError {
    const text = `${this.what}: the thread of a handler ended: ${cause.message}`
    return new LeveretError('E_THREAD_LOST', text, cause)
  }

  private tell(seat: Seat, message: ToThread, transfer?: readonly ArrayBuffer[]): void {
    seat.thread?.post(message, transfer)
  }
}

function carryChild(child: ChildOutcome): CarriedChild {
  return { ...child, error: child.error === null ? null : carryError(child.error) }
}
