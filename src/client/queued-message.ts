/** A message that waits, as `peek` shows it. */
import type { PeekedMessage } from '../model/queue-command.ts'
import { decodeBody } from './body.ts'
import { headerNames, integerHeader } from './headers.ts'
import { Incoming, type IncomingMessage } from './incoming.ts'

export interface PeekOptions {
  /** How many at most. Default 100. */
  readonly limit?: number
  /** How many of the first are left out. */
  readonly skip?: number
  /** 'ready', the default: in the order in which they would be handed out. 'delayed': in the order in which they are due. */
  readonly state?: 'ready' | 'delayed'
}

/** Its data are as they are on the wire: no schema has seen them. A body of over 1 MiB is not read: then they are undefined. */
export interface QueuedMessage extends IncomingMessage<unknown> {
  readonly state: 'ready' | 'delayed'
  /** Of the body. */
  readonly bytes: number
  /** When somebody may get it; null: now. */
  readonly dueAt: Date | null
  /** When it expires; null: never. */
  readonly expiresAt: Date | null
  /** The number of the attempt that it waits for: 1 for the first. */
  readonly attempt: number
  /** How often it was handed out, as far as that is known. */
  readonly deliveries: number
}

export class Queued extends Incoming implements QueuedMessage {
  readonly state: 'ready' | 'delayed'
  readonly bytes: number
  readonly dueAt: Date | null
  readonly expiresAt: Date | null
  readonly attempt: number
  readonly deliveries: number

  constructor(peeked: PeekedMessage, queue: string) {
    const { message, deliveryCount } = peeked
    const properties = message.decodeProperties()
    super(message, deliveryCount > 0, dataOf(peeked, queue), properties)
    this.state = peeked.state
    this.bytes = peeked.bodyBytes
    this.dueAt = timeOf(peeked.dueAt)
    this.expiresAt = timeOf(peeked.expiresAt)
    this.attempt = Math.max(1, integerHeader(properties.headers, headerNames.attempt) ?? 1)
    this.deliveries = deliveryCount
  }
}

/** What cannot be read is shown as bytes: looking must not fail. */
function dataOf({ message, hasBody }: PeekedMessage, queue: string): unknown {
  if (!hasBody) return undefined
  try {
    return decodeBody(message, message.decodeProperties(), `a message of queue '${queue}'`)
  } catch {
    return Buffer.from(message.body)
  }
}

/** A time of the protocol, where 0 is none. */
export function timeOf(ms: number): Date | null {
  return ms === 0 ? null : new Date(ms)
}
