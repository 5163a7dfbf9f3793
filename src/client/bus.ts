/**
 * The bus: one session with a broker, in this process or elsewhere, and everything that shares it.
 *
 *     control   commands, one at a time            sender    all sends, in confirm mode
 *     receipts  answers, on an exclusive queue     workers and receivers have a channel each
 */
import type { AdminCommand, JsonObject } from '../model/administration.ts'
import type { Session } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import { Administrator, type ExportOptions, type ImportOptions } from './administrator.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import type { BusWiring } from './bus-wiring.ts'
import type { CallCallback, CallOptions } from './call-options.ts'
import { type AnswerHandler, type AnswerOptions, Calls, type CallsOwner } from './calls.ts'
import { type Capabilities, capabilitiesOf } from './capabilities.ts'
import { Families } from './children.ts'
import { clientLimits } from './client-limits.ts'
import {
  type CallContract,
  type EventContract,
  eventContractOf,
  type QueueContract,
  queueContractOf,
} from './contract.ts'
import { Control } from './control.ts'
import { declaration } from './declare-queue.ts'
import type { EventIteratorOptions, EventStream } from './event-iterator.ts'
import { EventOutlet } from './event-outlet.ts'
import type { Outlets } from './handler-runner.ts'
import { IdSource } from './ids.ts'
import { type InboxIterator, type InboxOptions, InboxReader } from './inbox-reader.ts'
import { setLivingTimer } from './keep-alive.ts'
import type { EventHandler } from './listeners.ts'
import { checkInteger, checkOptionNames, shown } from './names.ts'
import { Outlet, type SendTarget } from './outlet.ts'
import { Queue, type QueueOwner } from './queue.ts'
import { type QueueOptions, type QueueSettings, queueSettings } from './queue-options.ts'
import { Receipts } from './receipts.ts'
import { type Schedule, type ScheduleOptions, Schedules, type ScheduleTarget, type ScheduleWhen } from './schedules.ts'
import type { EmitOptions } from './send-options.ts'
import { Sender } from './sender.ts'
import type { Sent } from './sent.ts'
import { type Served, type ServeOptions, serveSettings } from './serve-options.ts'
import { SessionWatch } from './session-watch.ts'
import { type QueueStats, Statistics } from './statistics.ts'
import type { StorageOptions } from './storage-options.ts'
import {
  type DurableSubscription,
  type ListenOptions,
  type SubscriberHandler,
  type SubscriberOptions,
  type Subscription,
  Subscriptions,
  type SubscriptionsOwner,
} from './subscriptions.ts'
import { type CloseOptions, closeTimeoutOf, type Worker } from './worker-options.ts'

export interface ConnectOptions extends StorageOptions {
  /** Sends that may wait for their confirm; one beyond waits until there is room. Default 10,000. */
  readonly highWater?: number
  /**
   * Hears what goes wrong where no promise tells it: a failed attempt of a handler without `onError` of its own, a
   * callback that threw, a lost connection, a stored message that cannot be read any more (E_STORAGE_CORRUPT), what a schedule of the
   * broker in this process could give to nobody (E_UNROUTABLE).
   */
  readonly onError?: (error: Error) => void
}

/** What can be said about a queue that is there already. */
export type OpenOptions = Pick<QueueOptions, 'retry' | 'deadLetter'>

/** Throws E_BAD_OPTION; before anything is opened. */
export function checkConnectOptions(options: ConnectOptions): void {
  checkOptionNames('connect', options, ['highWater', 'onError', 'durability', 'deliverAfter', 'networkFolder'])
}

/** Resolves with a bus; rejects with what the broker says. */
export async function openBus(wiring: BusWiring, options: ConnectOptions): Promise<Bus> {
  checkConnectOptions(options)
  const { highWater = clientLimits.highWaterDefault } = options
  checkInteger('connect', 'highWater', highWater, 1, 1_000_000)
  const events = new SessionWatch(options.onError)
  const session = await wiring.driver.openSession(wiring.login, events)
  wiring.onFailure((error) => events.report(error))
  wiring.onDamage((error) => events.report(error))
  return new Bus(wiring, session, events, highWater)
}

export class Bus implements AsyncDisposable {
  private readonly wiring: BusWiring
  private readonly session: Session
  private readonly parts: BusParts
  private readonly statistics: Statistics
  private readonly administrator: Administrator
  private readonly owner: QueueOwner
  private readonly queues: Map<string, Outlet> = new Map()
  private readonly eventOutlets: Map<string, EventOutlet> = new Map()
  private readonly subscriptions: Subscriptions
  private readonly calls: Calls
  private readonly families: Families
  private readonly closables: Set<Closable> = new Set()
  private readonly served: Set<Served> = new Set()
  private closing: Promise<void> | null = null
  /** Why nothing goes any more. */
  private ended: LeveretError | null = null

  /** Use `connect`. */
  constructor(wiring: BusWiring, session: Session, events: SessionWatch, highWater: number) {
    const { platform } = wiring
    this.wiring = wiring
    this.session = session
    const report = (error: Error): void => events.report(error)
    const control = new Control(session)
    const sender = new Sender(platform.clock, session, highWater)
    const receipts = new Receipts(platform.clock, session, report)
    const { commits, messageBytesMax } = wiring
    const ids = new IdSource(platform)
    const isLeveret = wiring.statistics()
    this.parts = { platform, session, control, sender, receipts, ids, commits, isLeveret, messageBytesMax, report }
    this.administrator = new Administrator(control)
    this.statistics = new Statistics(platform.clock, control, isLeveret)
    this.families = new Families(this.parts, this.queues)
    const { parts, statistics, closables, queues } = this
    const outlets: Outlets = {
      queues,
      event: (event) => this.eventOutlet(event),
      call: (contract, data, options) => this.calls.call(contract, data, options),
      families: this.families,
    }
    this.owner = {
      parts,
      statistics,
      outlets,
      families: this.families,
      closables,
      forgetQueue: (name) => queues.delete(name),
      ended: () => this.ended,
    }
    const own: SubscriptionsOwner & CallsOwner = {
      parts,
      createQueue: (contract, options) => this.createQueue(contract, options),
      holdQueue: (contract, options, isCall) => {
        const settings = queueSettings(contract.name, options, wiring.inMemory, isCall)
        return new Queue(this.owner, contract, settings, this.outlet(contract, settings))
      },
    }
    this.subscriptions = new Subscriptions(own)
    this.calls = new Calls(own)
    closables.add(this.subscriptions.listeners)
    closables.add(this.calls.cancellations)
    events.attach(sender, (error) => this.end(error))
  }

  /** By its name, without a contract: nothing is checked at run time. */
  createQueue<Input = unknown, Result = unknown>(name: string, options?: QueueOptions): Promise<Queue<Input, Result>>
  /** Creates the queue or opens it. Rejects with E_QUEUE_DIFFERS if it is there with another definition. */
  createQueue<Input, Result, Data, Returned>(
    contract: QueueContract<Input, Result, Data, Returned>,
    options?: QueueOptions,
  ): Promise<Queue<Input, Result, Data, Returned>>
  async createQueue(nameOrContract: string | QueueContract, options: QueueOptions = {}): Promise<Queue> {
    const contract = queueContractOf('createQueue', nameOrContract)
    const settings = queueSettings(contract.name, options, this.wiring.inMemory)
    if (options.keys !== undefined && !this.parts.isLeveret) throw noKeys(contract.name)
    await this.declare(contract.name, settings)
    return this.hold(contract, settings)
  }

  /** By its name, without a contract. */
  openQueue<Input = unknown, Result = unknown>(name: string, options?: OpenOptions): Promise<Queue<Input, Result>>
  /**
   * Opens a queue that is there, however it was defined; `options` are the client's own, `retry` and `deadLetter`. Rejects
   * with NOT_FOUND if there is none.
   */
  openQueue<Input, Result, Data, Returned>(
    contract: QueueContract<Input, Result, Data, Returned>,
    options?: OpenOptions,
  ): Promise<Queue<Input, Result, Data, Returned>>
  async openQueue(nameOrContract: string | QueueContract, options: OpenOptions = {}): Promise<Queue> {
    const contract = queueContractOf('openQueue', nameOrContract)
    checkOptionNames(`queue '${contract.name}': openQueue`, options, ['retry', 'deadLetter'])
    const settings = queueSettings(contract.name, options, this.wiring.inMemory)
    await this.parts.control.execute({ ...declaration(contract.name, true, emptyTable), passive: true })
    return this.hold(contract, settings)
  }

  /** By its name: as `emit` of a contract, but for the types. */
  emit(name: string, data: unknown, options?: EmitOptions): Promise<Sent>
  /**
   * Tells everybody who listens. Resolves when the event is stored for every durable subscriber there is; one that nobody
   * listens to is no error.
   */
  emit<Input>(event: EventContract<Input, unknown>, data: Input, options?: EmitOptions): Promise<Sent>
  emit(event: string | EventContract, data: unknown, options?: EmitOptions): Promise<Sent> {
    try {
      return this.eventOutlet(event).emit(data, options)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** By a pattern: 'image.*' for one more word, 'image.#' for any number of them. */
  on(pattern: string, handler: EventHandler, options?: ListenOptions): Promise<Subscription>
  /**
   * Listens to an event, or to all whose names match a pattern ('image.*', 'image.#'). Resolves when it listens: what is emitted
   * from then on is heard, as long as the bus is open. The handler is called for each event at once, and what it throws the bus's
   * `onError` hears.
   */
  on<Input, Data>(
    event: EventContract<Input, Data>,
    handler: EventHandler<Data>,
    options?: ListenOptions,
  ): Promise<Subscription>
  /** By a pattern, as a durable subscriber. */
  on(pattern: string, handler: SubscriberHandler, options: SubscriberOptions): Promise<DurableSubscription>
  /**
   * A durable subscriber: its events are kept while nobody listens, over restarts too, and several processes of one name share the
   * work. The handler works as one of `queue.process` does: what it throws is tried again.
   */
  on<Input, Data>(
    event: EventContract<Input, Data>,
    handler: SubscriberHandler<Data>,
    options: SubscriberOptions,
  ): Promise<DurableSubscription<Input, Data>>
  on(
    event: string | EventContract,
    handler: EventHandler<never> | SubscriberHandler<never>,
    options: ListenOptions | SubscriberOptions = {},
  ): Promise<Subscription> {
    return this.subscriptions.on(event, handler as EventHandler, options, false)
  }

  /** By a pattern. */
  once(pattern: string, handler: EventHandler, options?: ListenOptions): Promise<Subscription>
  /** As `on`, for the next event alone. */
  once<Input, Data>(
    event: EventContract<Input, Data>,
    handler: EventHandler<Data>,
    options?: ListenOptions,
  ): Promise<Subscription>
  once(
    event: string | EventContract,
    handler: EventHandler<never>,
    options: ListenOptions = {},
  ): Promise<Subscription> {
    return this.subscriptions.on(event, handler as EventHandler, options, true)
  }

  /** Ends what this handler listens to by that event or pattern; resolves with how many listenings that were. */
  off<Input, Data>(
    event: string | EventContract<Input, Data>,
    handler: EventHandler<Data> | SubscriberHandler<Data>,
  ): Promise<number> {
    return this.subscriptions.off(event as EventContract, handler)
  }

  /** By a pattern. */
  events(pattern: string, options?: EventIteratorOptions): EventStream
  /**
   * Events one after the other, for `for await`: live ones from the first that is asked for, or those of a durable subscriber. An
   * event is done with when the next one is asked for.
   */
  events<Input, Data>(event: EventContract<Input, Data>, options?: EventIteratorOptions): EventStream<Data>
  events(event: string | EventContract, options: EventIteratorOptions = {}): EventStream<never> {
    return this.subscriptions.events(event, options) as EventStream<never>
  }

  /** By its name, without a contract. */
  call(name: string, data: unknown, options?: CallOptions): Promise<unknown>
  /**
   * Asks, and resolves with the answer. At most one answerer works on it, and at most once, unless it is `durable`. Rejects with a
   * CallError (E_CALL_FAILED) if the answerer threw, with E_TIMEOUT if nobody answered in time (30 s, if nothing is said).
   */
  call<Input, Result, Errors>(
    contract: CallContract<Input, Result, unknown, unknown, Errors>,
    data: Input,
    options?: CallOptions,
  ): Promise<Result>
  /** By its name, told as Node's callbacks are. */
  call(name: string, data: unknown, options: CallOptions, callback: CallCallback<unknown>): void
  call(name: string, data: unknown, callback: CallCallback<unknown>): void
  /** As Node's callbacks: told once, the error first. */
  call<Input, Result, Errors>(
    contract: CallContract<Input, Result, unknown, unknown, Errors>,
    data: Input,
    options: CallOptions,
    callback: CallCallback<Result>,
  ): void
  call<Input, Result, Errors>(
    contract: CallContract<Input, Result, unknown, unknown, Errors>,
    data: Input,
    callback: CallCallback<Result>,
  ): void
  call(
    contract: string | CallContract,
    data: unknown,
    optionsOrCallback: CallOptions | CallCallback<never> = {},
    callback?: CallCallback<never>,
  ): Promise<never> {
    const isCallback = typeof optionsOrCallback === 'function'
    const told = isCallback ? optionsOrCallback : callback
    if (told !== undefined && typeof told !== 'function') {
      const text = `call: the callback is ${shown(told)}, and has to be a function`
      return Promise.reject(new LeveretError('E_BAD_OPTION', text))
    }
    const answer = this.calls.call(contract, data, isCallback ? {} : optionsOrCallback)
    if (told !== undefined) this.calls.tell(answer, told as CallCallback<unknown>)
    return answer as Promise<never>
  }

  /** By its name, without a contract. */
  answer(name: string, handler: AnswerHandler, options?: AnswerOptions): Promise<Worker>
  /**
   * Answers calls. What the handler returns is the answer, what it throws rejects the caller's promise. Several answerers, here and
   * in other processes, share the calls. Resolves when it answers.
   */
  answer<Input, Result, Data, Returned, Errors>(
    contract: CallContract<Input, Result, Data, Returned, Errors>,
    handler: AnswerHandler<Data, Returned>,
    options?: AnswerOptions,
  ): Promise<Worker>
  answer(contract: string | CallContract, handler: AnswerHandler<never>, options: AnswerOptions = {}): Promise<Worker> {
    return this.calls.answer(contract, handler as AnswerHandler, options)
  }

  /** Forgets a durable subscriber, and drops the events it keeps; resolves with how many those were. */
  unsubscribe(name: string): Promise<number> {
    return this.subscriptions.unsubscribe(name)
  }

  /**
   * Sends these data to a queue, or tells them to everybody who listens to an event, again and again: by a cron expression or every so
   * often. The broker keeps the schedule; one of that name that is as this one stays as it is, another is replaced. Rejects with
   * E_BAD_OPTION, E_BAD_DATA, E_UNROUTABLE (there is no such queue), E_UNSUPPORTED.
   */
  schedule<Input, Result, Data, Returned>(
    name: string,
    when: ScheduleWhen,
    target: QueueContract<Input, Result, Data, Returned>,
    data: Input,
    options?: ScheduleOptions,
  ): Promise<Schedule>
  schedule<Input, Result>(
    name: string,
    when: ScheduleWhen,
    target: SendTarget<Input, Result>,
    data: Input,
    options?: ScheduleOptions,
  ): Promise<Schedule>
  schedule<Input>(
    name: string,
    when: ScheduleWhen,
    target: EventContract<Input, unknown>,
    data: Input,
    options?: Omit<ScheduleOptions, 'key' | 'priority'>,
  ): Promise<Schedule>
  schedule(
    name: string,
    when: ScheduleWhen,
    target: ScheduleTarget,
    data: unknown,
    options?: ScheduleOptions,
  ): Promise<Schedule> {
    return new Schedules(this.parts).put(name, when, target, data, options)
  }

  /** All schedules of the virtual host, as they are now. */
  schedules(): Promise<Schedule[]> {
    return new Schedules(this.parts).list()
  }

  /**
   * The inbox of a named sender: what became of its messages that no receipt of this bus waits for, such as those that were
   * sent before a restart.
   */
  receipts(options: InboxOptions): InboxIterator {
    return new InboxReader(this.parts.receipts, options)
  }

  /** What recovery found and did when the folder was opened, in words for people; empty when there is nothing to say. */
  get notes(): readonly string[] {
    return this.wiring.notes
  }

  /** What the engine behind this bus can do, feature by feature, and what to do where it cannot. */
  capabilities(): Capabilities {
    const { serve, inMemory } = this.wiring
    return capabilitiesOf(serve === null, this.parts.isLeveret, inMemory)
  }

  /** Length and rates of every queue. Over amqp:// a Leveret tells them, other brokers do not: E_UNSUPPORTED. */
  stats(): Promise<QueueStats[]> {
    return this.statistics.all()
  }

  /**
   * Takes in a `definitions.json`, as RabbitMQ and `exportDefinitions` write it: users, permissions, virtual hosts, policies,
   * queues, exchanges, bindings. All of it or nothing: E_BAD_DEFINITIONS names the entry that is wrong.
   */
  importDefinitions(definitions: object, options: ImportOptions = {}): Promise<void> {
    return this.administrator.importDefinitions(definitions, options)
  }

  /** What `importDefinitions` takes in; without the hashes of passwords unless they are asked for. */
  exportDefinitions(options: ExportOptions = {}): Promise<JsonObject> {
    return this.administrator.exportDefinitions(options)
  }

  /**
   * Does what administrators do, such as `{ type: 'leveret.delete-user', user: 'ops' }`. Rejects with the BrokerError if it is
   * refused, and with E_UNSUPPORTED where the broker is no Leveret.
   */
  administer(command: AdminCommand): Promise<Reply> {
    return this.administrator.run(command)
  }

  /** Lets other processes and languages in, over AMQP 0-9-1, until the bus or what it returns is closed. */
  async serve(options: ServeOptions = {}): Promise<Served> {
    const settings = serveSettings(options)
    if (this.closing !== null) throw new LeveretError('E_CLOSED', 'the bus is closed')
    const { serve } = this.wiring
    if (serve === null) {
      throw new LeveretError('E_UNSUPPORTED', 'a bus over amqp:// is served by its broker: give others its URL')
    }
    const served = await serve(settings)
    this.served.add(served)
    return {
      port: served.port,
      url: served.url,
      tlsUrl: served.tlsUrl,
      close: () => this.closeServed(served),
      [Symbol.asyncDispose]: () => this.closeServed(served),
    }
  }

  /**
   * Stops serving, waits for handlers that run and for sends on their way, gives the rest back, and closes the store. After
   * `timeout` (default 30 s) it waits no longer.
   */
  close(options: CloseOptions = {}): Promise<void> {
    let timeoutMs: number
    try {
      timeoutMs = closeTimeoutOf('bus.close', options)
    } catch (error) {
      return Promise.reject(error as Error)
    }
    this.ended ??= new LeveretError('E_CLOSED', 'the bus is closed')
    this.closing ??= this.closeWithin(timeoutMs)
    return this.closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private eventOutlet(nameOrContract: string | EventContract): EventOutlet {
    const isContract = typeof nameOrContract === 'object' && nameOrContract !== null
    const known = this.eventOutlets.get(isContract ? nameOrContract.name : nameOrContract)
    if (known !== undefined && (!isContract || known.contract === nameOrContract)) return known
    const contract = eventContractOf('emit', nameOrContract)
    const outlet = new EventOutlet(this.parts, contract)
    // Who emits by the name alone is held to the schema that was told, also behind somebody who knows none.
    const isBetter = known === undefined || contract.input !== undefined
    if (isBetter && this.eventOutlets.size < clientLimits.eventsRememberedMax)
      this.eventOutlets.set(contract.name, outlet)
    return outlet
  }

  private async declare(name: string, { durable, arguments: table }: QueueSettings): Promise<void> {
    try {
      await this.parts.control.execute(declaration(name, durable, table))
    } catch (error) {
      if (!(error instanceof BrokerError) || !error.text.startsWith('inequivalent arg')) throw error
      throw new LeveretError(
        'E_QUEUE_DIFFERS',
        `queue '${name}' is there with another definition: ${error.text}. Give createQueue the options it was made with, open it ` +
          'as it is with bus.openQueue, or delete it first',
        error,
      )
    }
  }

  private hold(contract: QueueContract, settings: QueueSettings): Queue {
    const outlet = this.outlet(contract, settings)
    this.queues.set(contract.name, outlet)
    return new Queue(this.owner, contract, settings, outlet)
  }

  private outlet(contract: QueueContract, { durable, isKeyed, maxPriority }: QueueSettings): Outlet {
    const { parts } = this
    return new Outlet(parts, contract, durable, { isKeyed, maxPriority, isLeveret: parts.isLeveret })
  }

  private async closeWithin(timeoutMs: number): Promise<void> {
    const { control, sender, receipts } = this.parts
    const { clock } = this.wiring.platform
    const untilMs = clock.monotonicMs() + timeoutMs
    const left = (): number => Math.max(0, untilMs - clock.monotonicMs())
    await Promise.all([...this.served].map((served) => this.closeServed(served)))
    await Promise.all([...this.closables].map((one) => one.close({ timeout: left() })))
    await this.within(left(), sender.idle())
    await this.within(left(), receipts.decided())
    this.statistics.close()
    sender.close()
    receipts.close()
    this.families.close()
    control.close()
    try {
      await this.session.close()
    } finally {
      await this.wiring.driver.close()
    }
  }

  private async closeServed(served: Served): Promise<void> {
    this.served.delete(served)
    await served.close()
  }

  private async within(timeoutMs: number, done: Promise<void>): Promise<void> {
    let cancel: () => void = () => {}
    const timeout = new Promise<void>((resolve) => {
      cancel = setLivingTimer(this.wiring.platform.clock, timeoutMs, resolve)
    })
    await Promise.race([done, timeout])
    cancel()
  }

  /** The session is gone: whatever waits is told so. */
  private end(error: LeveretError): void {
    const { control, sender, receipts } = this.parts
    this.ended ??= error
    control.end(error)
    sender.end(error)
    receipts.end(error)
    this.families.end(error)
    this.statistics.close()
    for (const one of this.closables) one.end(error)
  }
}

function noKeys(name: string): LeveretError {
  const text = `queue '${name}': this broker is no Leveret and keeps no order per key: take a queue per key, or one worker with concurrency 1`
  return new LeveretError('E_UNSUPPORTED', text)
}
