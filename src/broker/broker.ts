/**
 * The broker: sessions, the state, the store and the turn that ties them together. It is synchronous and deterministic,
 * knows no bytes on the wire and no sockets, and is driven through the port of model/channel.ts.
 */
import type { BodyStore } from '../model/bodies.ts'
import type { Driver, Login, SessionEvents, Session as SessionPort } from '../model/channel.ts'
import type { LoadCronEngine } from '../model/cron.ts'
import type { DeliverAfter } from '../model/durability.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { LoadPatternEngine } from '../model/patterns.ts'
import type { Platform } from '../platform/platform.ts'
import type { TopologyRecord } from '../store/record.ts'
import type { ResidentMemory } from '../store/resident-memory.ts'
import type { LoadReport, SnapshotSource, Store, StoreEvents } from '../store/store.ts'
import { AdminCommands } from './admin-commands.ts'
import { type AdministeredBroker, Administration } from './administration.ts'
import { ControlDesk } from './control.ts'
import { Crons } from './crons.ts'
import { DeferrableCommands } from './deferrable-commands.ts'
import { Expiry } from './expiry.ts'
import { Grants } from './grants.ts'
import type { BrokerParts } from './parts.ts'
import { Patterns } from './patterns.ts'
import { Policies } from './policies.ts'
import { PolicyKeeper } from './policy-keeper.ts'
import { Publisher } from './publisher.ts'
import type { Queue } from './queue.ts'
import { QueueCommands } from './queue-commands.ts'
import { Schedules } from './schedules.ts'
import { Session } from './session.ts'
import { State } from './state.ts'
import { userRecord } from './state-access.ts'
import { Tick } from './tick.ts'
import { TimeWatch } from './time-watch.ts'
import { Topology } from './topology.ts'
import { Users } from './users.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface BrokerOptions {
  /** Memory for messages in queues, in bytes; above it publishers are blocked. */
  readonly memoryBytesMax: number
  /** Default 'accept'. */
  readonly deliverAfter?: DeliverAfter
  /** Without one, patterns in permissions and policies are understood that need none, such as `.*` and `^orders`. */
  readonly loadPatternEngine?: LoadPatternEngine
  /** Default true. False: what is due by a schedule stays due, for who only looks after the folder. */
  readonly runsSchedules?: boolean
  /** Without one there are no schedules by cron expressions. */
  readonly loadCronEngine?: LoadCronEngine
}

export class Broker implements Driver, StoreEvents, SnapshotSource, AdministeredBroker {
  readonly parts: BrokerParts<Session>
  /** What recovery found; complete once `open` has resolved. */
  report: LoadReport = { nextQueueId: 1, messages: 0, clean: true, notes: [] }
  private readonly store: Store
  private readonly state: State
  private readonly tick: Tick
  private readonly expiry: Expiry
  private readonly leases: Expiry
  private readonly timeWatch: TimeWatch
  private readonly topology: Topology
  private readonly memory: ResidentMemory
  private readonly patterns: Patterns
  private readonly users: Users
  private readonly desk: ControlDesk
  private readonly schedules: Schedules
  /** What holds for queues and exchanges by their names. */
  readonly policies: Policies
  private readonly policyKeeper: PolicyKeeper
  private readonly sessions = new Set<Session>()
  private readonly throttledSessions = new Set<Session>()
  private blockedReason: string | null = null
  private diskStalled = false
  private diskLow = false
  private failure: LeveretError | null = null
  private closing: Promise<void> | null = null
  private readonly failureListeners: ((error: LeveretError) => void)[] = []
  private readonly damageListeners: ((error: Error) => void)[] = []

  /** Use `Broker.open`: a broker is not one before it has read what it must remember. */
  private constructor(platform: Platform, store: Store, options: BrokerOptions) {
    this.store = store
    this.tick = new Tick(platform.clock, store, limits.deliveriesPerTurn, () => this.turnEnded())
    this.memory = store.memory
    this.memory.setLimit(options.memoryBytesMax)
    this.expiry = new Expiry(platform.clock)
    this.patterns = new Patterns(options.loadPatternEngine ?? null)
    const publisher = new Publisher(store, platform.clock)
    this.leases = new Expiry(platform.clock, 'monotonic')
    this.state = new State({
      store,
      clock: platform.clock,
      tick: this.tick,
      expiry: this.expiry,
      leases: this.leases,
      publisher,
      deliverAfter: options.deliverAfter ?? 'accept',
      deleteQueue: (host, queue) => void this.deleteQueue(host, queue),
    })
    this.timeWatch = new TimeWatch(platform.clock)
    this.topology = new Topology(platform.random, store, this.state)
    this.policies = new Policies(this.state.parameters, this.patterns)
    this.policyKeeper = new PolicyKeeper(this.state, this.policies)
    const administration = new Administration(this.state, this.topology, this.patterns, store, this)
    this.users = new Users(platform, this.state.access, (user) => {
      administration.record(userRecord(user))
      this.tick.schedule()
    })
    const administrators = new AdminCommands(administration, (password) => this.users.passwords.rabbitHash(password))
    const queueCommands = new QueueCommands(store)
    this.schedules = new Schedules(
      platform.clock,
      store,
      this.tick,
      publisher,
      new Crons(options.loadCronEngine ?? null),
      {
        virtualHosts: this.state.virtualHosts,
        isBlocked: () => this.blockedReason !== null,
        report: (error) => this.damaged(error),
      },
    )
    const deferrable = new DeferrableCommands(administrators, this.schedules)
    this.desk = new ControlDesk(deferrable, queueCommands, store, this.tick)
    publisher.desk = this.desk
    this.parts = {
      store,
      tick: this.tick,
      topology: this.topology,
      publisher,
      deferrable,
      queueCommands,
      deleteQueue: (host, queue) => this.deleteQueue(host, queue),
      watchTime: (channel) => this.timeWatch.watch(channel),
      channelOpens: (session) => this.checkChannels(session),
      sessionEnded: (session) => {
        this.sessions.delete(session)
        this.throttledSessions.delete(session)
      },
      published: (session) => {
        if (store.unsyncedBytes > limits.unsyncedBytesMax && !session.throttled) this.throttle(session)
        if (this.memory.bytes > this.memory.bytesMax && this.blockedReason === null) this.updateAlarms()
      },
    }
  }

  /** Recovers what the store remembers. Rejects with the store's error (E_FOLDER_IN_USE, E_STORAGE_CORRUPT, …). */
  static async open(platform: Platform, store: Store, options: BrokerOptions): Promise<Broker> {
    const broker = new Broker(platform, store, options)
    broker.report = await store.load((record) => broker.state.apply(record), broker, broker)
    await broker.patterns.ready([...broker.state.access.patterns(), ...broker.state.parameters.patterns()])
    broker.policyKeeper.applyAll()
    broker.state.declarations = broker.policyKeeper
    broker.state.nextQueueId = Math.max(broker.state.nextQueueId, broker.report.nextQueueId)
    await broker.schedules.recover()
    if (options.runsSchedules ?? true) broker.schedules.start()
    return broker
  }

  get bodies(): BodyStore | null {
    return this.store.bodies
  }

  async authenticate(login: Login): Promise<void> {
    this.needOpen()
    await this.users.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<SessionPort> {
    this.needOpen()
    await this.users.authenticate(login)
    this.needOpen()
    const host = this.state.virtualHosts.get(login.virtualHost)
    if (host === undefined) throw new BrokerError('NOT_ALLOWED', `vhost ${login.virtualHost} not found`)
    const session = new Session(this.parts, host, this.grantsOf(login), events)
    this.sessions.add(session)
    if (this.blockedReason !== null) events.blocked(this.blockedReason)
    return session
  }

  /** Ends all sessions, stores everything and lets the folder go. */
  close(): Promise<void> {
    this.closing ??= this.end()
    return this.closing
  }

  /** Called once if the storage fails for good; every session has been closed by then. */
  onFailure(listener: (error: LeveretError) => void): void {
    if (this.failure !== null) listener(this.failure)
    else this.failureListeners.push(listener)
  }

  /** Called for each message that turns out to be unreadable, or that a schedule could not give to anybody; all else goes on. */
  onDamage(listener: (error: Error) => void): void {
    this.damageListeners.push(listener)
  }

  /** Names where this broker is served, for whoever finds the folder in use. */
  async announce(addresses: readonly string[]): Promise<void> {
    await this.store.announce(addresses)
  }

  /** Messages ready and unacknowledged over all queues, and their memory. */
  get residentBytes(): number {
    return this.memory.bytes
  }

  deleteQueue(host: VirtualHost, queue: Queue): number {
    const consumers = queue.consumers.removeAll()
    const count = this.topology.removeQueue(host, queue)
    for (const consumer of consumers) consumer.ended()
    // It may go with a session or a channel, when no command runs: the record must be written, the memory is free again.
    this.tick.schedule()
    return count
  }

  // What administrators change.

  endSessions(virtualHost: string | null, user: string | null, reason: string): void {
    const error = new BrokerError('CONNECTION_FORCED', reason)
    for (const session of this.sessions) {
      if (virtualHost !== null && session.virtualHost.name !== virtualHost) continue
      if (user === null || session.user === user) session.abort(error)
    }
  }

  accessChanged(): void {
    for (const session of this.sessions) session.accessChanged()
  }

  policiesChanged(): void {
    this.policyKeeper.applyAll()
    this.tick.schedule()
  }

  removeSchedules(host: VirtualHost): void {
    this.schedules.removeAll(host)
  }

  // What the store tells.

  durable(_lsn: number): void {
    this.tick.durable()
  }

  written(_lsn: number): void {
    this.tick.durable()
  }

  stalled(_error: Error): void {
    this.diskStalled = true
    this.updateAlarms()
  }

  resumed(): void {
    this.diskStalled = false
    this.updateAlarms()
  }

  lowOnDisk(isLow: boolean): void {
    this.diskLow = isLow
    this.updateAlarms()
  }

  failed(error: Error): void {
    if (this.failure !== null) return
    this.failure =
      error instanceof LeveretError
        ? error
        : new LeveretError('E_STORAGE_FAILED', `the storage failed and nothing more is stored: ${error.message}`, error)
    this.tick.stop()
    this.expiry.stop()
    this.leases.stop()
    this.timeWatch.stop()
    this.desk.stop()
    this.schedules.stop()
    const reason = new BrokerError('INTERNAL_ERROR', `the storage failed; outcomes not yet confirmed are unknown`)
    for (const session of this.sessions) session.abort(reason)
    for (const listener of this.failureListeners) listener(this.failure)
  }

  damaged(error: Error): void {
    for (const listener of this.damageListeners) listener(error)
  }

  // What the store asks.

  nextQueueId(): number {
    return this.state.nextQueueId
  }

  durableTopology(visit: (record: TopologyRecord) => void): void {
    this.state.forEachDurable(visit)
  }

  private async end(): Promise<void> {
    const error = new BrokerError('CONNECTION_FORCED', `broker forced connection closure with reason 'shutdown'`)
    for (const session of this.sessions) session.abort(error)
    this.tick.stop()
    this.expiry.stop()
    this.leases.stop()
    this.timeWatch.stop()
    this.desk.stop()
    this.schedules.stop()
    try {
      await this.store.close()
    } catch (cause) {
      throw this.failure ?? cause
    }
    if (this.failure !== null) throw this.failure
  }

  private turnEnded(): void {
    this.desk.release()
    if (this.throttledSessions.size > 0 && this.store.unsyncedBytes <= limits.unsyncedBytesResume) this.unthrottle()
    if (this.blockedReason !== null) this.updateAlarms()
  }

  /** Throws NOT_ALLOWED if the virtual host is closed to the user, or either has as many connections as it may. */
  private grantsOf({ credentials, virtualHost }: Login): Grants | null {
    if (credentials === null) return null
    const { access, parameters } = this.state
    const { user } = credentials
    const grants = new Grants(access, this.patterns, user, virtualHost)
    const noVhost = `access to vhost '${virtualHost}' refused for user '${user}'`
    const hostMax = parameters.limitOf(virtualHost, 'max-connections')
    if (this.countSessions((session) => session.virtualHost.name === virtualHost) >= hostMax) {
      throw new BrokerError('NOT_ALLOWED', `${noVhost}: connection limit (${hostMax}) is reached`)
    }
    const userMax = grants.limit('max-connections')
    if (this.countSessions((session) => session.user === user) >= userMax) {
      const text = `connection refused for user '${user}': user connection limit (${userMax}) is reached`
      throw new BrokerError('NOT_ALLOWED', text)
    }
    if (access.permission(user, virtualHost) === undefined) throw new BrokerError('NOT_ALLOWED', noVhost)
    return grants
  }

  /** The host process does not count. */
  private countSessions(counts: (session: Session) => boolean): number {
    let count = 0
    for (const session of this.sessions) if (session.user !== null && counts(session)) count++
    return count
  }

  private checkChannels({ grants }: Session): void {
    const max = grants?.limit('max-channels') ?? Number.POSITIVE_INFINITY
    if (grants === null || max === Number.POSITIVE_INFINITY) return
    let count = 0
    for (const session of this.sessions) if (session.user === grants.user) count += session.channels.size
    if (count < max) return
    const text = `number of channels opened for user '${grants.user}' has reached the maximum allowed user limit of (${max})`
    throw new BrokerError('NOT_ALLOWED', text)
  }

  private needOpen(): void {
    if (this.failure !== null) throw new BrokerError('INTERNAL_ERROR', this.failure.message)
    if (this.closing !== null) throw new BrokerError('CONNECTION_FORCED', 'the broker is closed')
  }

  private throttle(session: Session): void {
    session.throttled = true
    this.throttledSessions.add(session)
    session.events.throttled()
  }

  private unthrottle(): void {
    const sessions = [...this.throttledSessions]
    this.throttledSessions.clear()
    for (const session of sessions) {
      session.throttled = false
      session.events.resumed()
    }
  }

  /** Publishers are blocked while memory is short or the disk does not take writes; consumers go on. */
  private updateAlarms(): void {
    const lowMemory = this.memory.bytes > (this.blockedReason === null ? this.memory.bytesMax : this.memory.bytesResume)
    const reasons = [lowMemory ? 'memory' : '', this.diskStalled || this.diskLow ? 'disk' : ''].filter(
      (reason) => reason !== '',
    )
    const reason = reasons.length === 0 ? null : `low on ${reasons.join(' & ')}`
    if (reason === this.blockedReason) return
    const wasBlocked = this.blockedReason !== null
    this.blockedReason = reason
    for (const session of this.sessions) {
      if (reason === null) session.events.unblocked()
      else if (!wasBlocked) session.events.blocked(reason)
    }
  }
}
