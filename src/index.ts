/**
 * Leveret: durable message queues in a folder inside your process, served over AMQP 0-9-1 when you need it.
 *
 * This is the public API, and the place where the concrete classes are put together: `connect` picks broker, store and
 * driver by the URL, and loads what that URL needs and nothing else.
 */
import { type Bus, type BusWiring, type ConnectOptions, openBus, type Served } from './client/bus.ts'
import { parseBusUrl } from './client/bus-url.ts'
import type { Driver, Login } from './model/channel.ts'
import { emptyTable } from './model/field-table.ts'
import { limits } from './model/limits.ts'
import { NodePlatform } from './platform/node-platform.ts'
import type { Platform } from './platform/platform.ts'

export type { Bus, ConnectOptions, Served, ServeOptions } from './client/bus.ts'
export { type ContractSchemas, defineQueue, type QueueContract } from './client/contract.ts'
export type { Duration } from './client/duration.ts'
export type { IncomingMessage, ReceivedMessage } from './client/incoming.ts'
export type { ReceiptOptions, SendOptions } from './client/outlet.ts'
export type { Queue, QueueCount } from './client/queue.ts'
export type { QueueOptions } from './client/queue-options.ts'
export type { Receipt, ReceiptCallbacks, Sent, WaitOptions } from './client/receipt.ts'
export type { ReceiveOptions } from './client/receiver.ts'
export type { RetryOptions } from './client/retry.ts'
export type { Settlement } from './client/settlement.ts'
export type { StandardSchema } from './client/standard-schema.ts'
export type { QueueStats } from './client/statistics.ts'
export type { HandlerContext } from './client/task.ts'
export type { CloseOptions, Handler, ProcessOptions, Worker, WorkerStats } from './client/worker.ts'
export { BrokerError, LeveretError, type LeveretErrorCode, type ReplyCode } from './model/errors.ts'
export type { PlainValue } from './model/field-table.ts'

const hostLogin: Login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }

/**
 * Opens a bus:
 *
 * - `memory:` a broker in this process that forgets everything with it
 * - `file:./data` a broker in this process that keeps everything in that folder
 * - `amqp://user:password@host:5672/vhost` a broker elsewhere: a served Leveret, or RabbitMQ
 *
 * Rejects with E_BAD_URL, E_FOLDER_IN_USE (which names who has the folder), E_CONNECT_FAILED, E_STORAGE_CORRUPT.
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Bus> {
  const target = parseBusUrl(url)
  const platform = new NodePlatform()
  const wiring =
    target.kind === 'amqp'
      ? await remoteWiring(platform, target.url)
      : await localWiring(platform, target.kind === 'file' ? target.directory : null)
  try {
    return await openBus(wiring, options)
  } catch (error) {
    await wiring.driver.close()
    throw error
  }
}

async function localWiring(platform: Platform, directory: string | null): Promise<BusWiring> {
  const [{ Broker }, store] = await Promise.all([import('./broker/broker.ts'), openStore(platform, directory)])
  const broker = await Broker.open(platform, store, { memoryBytesMax: limits.memoryBytesMax })
  return {
    platform,
    driver: broker,
    login: hostLogin,
    commits: 'native',
    inMemory: directory === null,
    statistics: true,
    messageBytesMax: limits.messageBytesMax,
    serve: async (host, port) => {
      const served = await serveDriver(platform, broker, host, port)
      await broker.announce([served.url])
      return served
    },
  }
}
