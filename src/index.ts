/**
 * Leveret: durable message queues in a folder inside your process, served over AMQP 0-9-1 when you need it.
 *
 * This is the public API, and the place where the concrete classes are put together: `connect` picks broker, store and
 * driver by the URL, and loads what that URL needs and nothing else.
 */
import { type Bus, type ConnectOptions, checkConnectOptions, openBus } from './client/bus.ts'
import { parseBusUrl } from './client/bus-url.ts'
import type { BusWiring } from './client/bus-wiring.ts'
import type { Served, ServeSettings } from './client/serve-options.ts'
import { type StorageSettings, storageOptions } from './client/storage-options.ts'
import type { TlsSettings } from './client/tls-options.ts'
import { version } from './client/version.ts'
import { loadCronEngine } from './cron-engine.ts'
import type { Driver, Login } from './model/channel.ts'
import { LeveretError } from './model/errors.ts'
import { emptyTable } from './model/field-table.ts'
import { limits } from './model/limits.ts'
import { loadPatternEngine } from './pattern-engine.ts'
import type { Listener, TlsServer } from './platform/network.ts'
import { NodePlatform } from './platform/node-platform.ts'
import type { Platform } from './platform/platform.ts'
import type { AmqpServer } from './server/amqp-server.ts'
import type { Store } from './store/store.ts'

export type { ExportOptions, ImportOptions } from './client/administrator.ts'
export type { BatchContext, BatchHandler, BatchReturn } from './client/batch.ts'
export type { Bus, ConnectOptions, OpenOptions } from './client/bus.ts'
export { CallError, callError, isCallError, type RemoteError } from './client/call-errors.ts'
export type { CallCallback, CallOptions } from './client/call-options.ts'
export type { AnswerHandler, AnswerOptions } from './client/calls.ts'
export type { Capabilities, Capability, Feature, Support } from './client/capabilities.ts'
export type { ChildOutcome } from './client/child-outcome.ts'
export { type Child, type ChildFailure, type ChildOptions, child, type ParentOptions } from './client/children.ts'
export {
  type CallContract,
  type CallSchemas,
  type ContractSchemas,
  defineCall,
  defineEvent,
  defineQueue,
  type EventContract,
  type QueueContract,
} from './client/contract.ts'
export type { Duration } from './client/duration.ts'
export type { EventIteratorOptions, EventStream } from './client/event-iterator.ts'
export type {
  Confidence,
  Estimate,
  FlowStats,
  ForecastOptions,
  QueueForecast,
  QueueModel,
  TimeStats,
  Trust,
} from './client/flow-figures.ts'
export type { InboxIterator, InboxOptions, InboxOutcome } from './client/inbox-reader.ts'
export type { IncomingMessage, MessageFailure, MessageSchedule, ReceivedMessage } from './client/incoming.ts'
export type { EventHandler } from './client/listeners.ts'
export type { MessageIterator, Queue, QueueCount } from './client/queue.ts'
export type { KeyOptions, QueueOptions } from './client/queue-options.ts'
export type { PeekOptions, QueuedMessage } from './client/queued-message.ts'
export type { Rate } from './client/rate.ts'
export type { Receipt, ReceiptCallbacks, WaitOptions } from './client/receipt.ts'
export type { ReceiveOptions } from './client/receiver.ts'
export type { RedriveOptions } from './client/redrive.ts'
export type { RetryOptions } from './client/retry.ts'
export type { Schedule, ScheduleInfo, ScheduleOptions, ScheduleTarget, ScheduleWhen } from './client/schedules.ts'
export type { EmitOptions, ReceiptOptions, SendOptions } from './client/send-options.ts'
export type { Sent } from './client/sent.ts'
export type { Served, ServeOptions } from './client/serve-options.ts'
export type { Settlement } from './client/settlement.ts'
export type { StandardSchema } from './client/standard-schema.ts'
export type { QueueStats } from './client/statistics.ts'
export type { StorageOptions } from './client/storage-options.ts'
export type {
  DurableSubscription,
  ListenOptions,
  SubscriberHandler,
  SubscriberOptions,
  Subscription,
} from './client/subscriptions.ts'
export type { CommitContext, HandlerContext } from './client/task.ts'
export { defineHandler, type ThreadContext, type ThreadHandler } from './client/thread-context.ts'
export type { TlsOptions } from './client/tls-options.ts'
export { version } from './client/version.ts'
export type {
  BatchOptions,
  CloseOptions,
  ConcurrencyRange,
  Handler,
  ProcessOptions,
  ThreadOptions,
  Worker,
  WorkerStats,
} from './client/worker-options.ts'
export type { ConcurrencyStats } from './flow/auto-concurrency.ts'
export type { AdminCommand, Hashing, Json, JsonObject } from './model/administration.ts'
export type { Reply } from './model/command.ts'
export type { DeliverAfter, Durability } from './model/durability.ts'
export { BrokerError, LeveretError, type LeveretErrorCode, type ReplyCode } from './model/errors.ts'
export type { PlainValue } from './model/field-table.ts'
export type { MissedRuns } from './model/schedule-command.ts'

/** Messages in memory beyond which a broker in this process blocks its publishers: a quarter of a small server's. */
const memoryBytesMax = 1_073_741_824

const hostLogin: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }

/**
 * Opens a bus:
 *
 * - `memory:` a broker in this process that forgets everything with it
 * - `file:./data` a broker in this process that keeps everything in that folder
 * - `amqp://user:password@host:5672/vhost` a broker elsewhere: a served Leveret, or RabbitMQ
 *
 * Rejects with E_BAD_URL, E_BAD_OPTION, E_FOLDER_IN_USE (which names who has the folder), E_NETWORK_FOLDER, E_CONNECT_FAILED,
 * E_STORAGE_CORRUPT; over amqp:// also with the BrokerError ACCESS_REFUSED (the login) or NOT_ALLOWED (the virtual host).
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Bus> {
  const target = parseBusUrl(url)
  checkConnectOptions(options)
  const storage = storageOptions(target.kind, options)
  const platform = new NodePlatform()
  const wiring =
    target.kind === 'amqp'
      ? await remoteWiring(platform, target.url)
      : await localWiring(platform, target.kind === 'file' ? target.directory : null, storage)
  try {
    return await openBus(wiring, options)
  } catch (error) {
    await wiring.driver.close()
    throw error
  }
}

/** As `leveret.put-user` wants it, with `hashing: 'scrypt'`. Takes tens of milliseconds on purpose. Rejects with E_BAD_OPTION. */
export async function hashPassword(password: string): Promise<string> {
  if (typeof password !== 'string') {
    // The value stays out of the text: it may be a password all the same.
    throw new LeveretError('E_BAD_OPTION', `hashPassword: the password is no text, but of type ${typeof password}`)
  }
  const { Passwords } = await import('./broker/passwords.ts')
  return new Passwords(new NodePlatform()).hash(password)
}

async function localWiring(
  platform: Platform,
  directory: string | null,
  settings: StorageSettings,
): Promise<BusWiring> {
  const { deliverAfter } = settings
  const [{ Broker }, { WholeBodies }, store] = await Promise.all([
    import('./broker/broker.ts'),
    import('./client/whole-bodies.ts'),
    openStore(platform, directory, settings),
  ])
  const broker = await Broker.open(platform, store, { memoryBytesMax, deliverAfter, loadPatternEngine, loadCronEngine })
  const addresses = new Set<string>()
  return {
    platform,
    driver: broker.bodies === null ? broker : new WholeBodies(broker, broker.bodies),
    login: hostLogin,
    commits: 'native',
    inMemory: directory === null,
    statistics: () => true,
    messageBytesMax: limits.messageBytesMax,
    notes: broker.report.notes,
    onFailure: (listener) => broker.onFailure(listener),
    onDamage: (listener) => broker.onDamage(listener),
    serve: async (settings) => {
      const served = await serveDriver(platform, broker, settings)
      addresses.add(served.url)
      if (served.tlsUrl !== null) addresses.add(served.tlsUrl)
      await broker.announce([...addresses])
      return served
    },
  }
}

async function remoteWiring(platform: Platform, url: string): Promise<BusWiring> {
  const { AmqpDriver } = await import('./client/amqp-driver/amqp-driver.ts')
  const driver = new AmqpDriver(platform, url, { version })
  return {
    platform,
    driver,
    login: driver.login,
    commits: 'tx',
    inMemory: false,
    statistics: () => driver.isLeveret,
    get messageBytesMax() {
      return driver.messageBytesMax
    },
    notes: [],
    onFailure: () => {},
    onDamage: () => {},
    serve: null,
  }
}

async function openStore(
  platform: Platform,
  directory: string | null,
  { durability, networkFolder }: StorageSettings,
): Promise<Store> {
  if (directory === null) {
    const { MemoryStore } = await import('./store/memory-store.ts')
    return new MemoryStore()
  }
  const { LogStore } = await import('./store/log-store.ts')
  const { logStoreOptionsDefault } = await import('./store/log-store-options.ts')
  return new LogStore(platform, directory, {
    ...logStoreOptionsDefault,
    durability,
    networkFolder,
    reserveBytes: limits.reserveBytes,
  })
}

async function serveDriver(platform: Platform, driver: Driver, settings: ServeSettings): Promise<Served> {
  const { AmqpServer } = await import('./server/amqp-server.ts')
  const { host, port, tls, messageBytesMax } = settings
  const server = new AmqpServer(platform, driver, { version, messageBytesMax, certificateUser: tls?.user ?? 'cn' })
  try {
    const plain = port === null ? null : await listen(server, host, port)
    const secure = tls === null ? null : await listen(server, host, tls.port, serverTls(tls))
    const tlsUrl = secure === null ? null : urlOf('amqps', host, secure)
    const first = (plain ?? secure) as Listener
    const url = plain === null ? (tlsUrl as string) : urlOf('amqp', host, plain)
    const close = (): Promise<void> => server.close()
    return { port: first.port, url, tlsUrl, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await server.close()
    throw error
  }
}

async function listen(server: AmqpServer, host: string, port: number, tls?: TlsServer): Promise<Listener> {
  try {
    return await server.listen(host, port, tls)
  } catch (error) {
    throw new LeveretError('E_REFUSED', `cannot serve on ${host}:${port}: ${whyNot(error)}`, error)
  }
}

function serverTls({ certFile, keyFile, caFile, verify }: TlsSettings): TlsServer {
  // What cannot be used is not used, and what was read before still holds.
  const reloadFailed = (): void => {}
  const { tlsHandshakeMs: handshakeMs, strangersPerAddressMax: handshakesPerAddressMax } = limits
  return { certFile, keyFile, caFile, verify, handshakeMs, handshakesPerAddressMax, reloadFailed }
}

function urlOf(scheme: string, host: string, { port }: Listener): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function whyNot(error: unknown): string {
  switch ((error as { code?: unknown }).code) {
    case 'EADDRINUSE':
      return 'something listens there already: take another port (0 takes a free one)'
    case 'EACCES':
      return 'the system does not let you: take a port from 1024 on'
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address'
    default:
      return String(error)
  }
}
