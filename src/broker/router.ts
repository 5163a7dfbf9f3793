/** What an exchange asks of whoever knows its bindings, and what that one asks of bindings. */
import type { FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Queue } from './queue.ts'
import type { RoutedExchange, RouteSet } from './route-set.ts'

/** A binding, as a router sees it. One of the two destinations is null. */
export interface RoutedBinding {
  readonly queue: Queue | null
  readonly exchange: RoutedExchange | null
  readonly routingKey: string
  readonly arguments: FieldTable
  readonly identity: string
}

export interface Router {
  /** Whether a routing key always leads to the same bindings. */
  readonly routesByKey: boolean
  add(binding: RoutedBinding): void
  remove(binding: RoutedBinding): void
  /** Follows what the key, one of those of the message, leads to; false if that is nothing. */
  route(key: string, message: Message, into: RouteSet): boolean
}
