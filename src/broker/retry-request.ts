/**
 * A receiver's wish to get a delivery once more, later, at its old place: a message to `leveret.control` with the routing key
 * `retry`, published on the channel that has the delivery. It settles the delivery as an acknowledgement does, in tx mode with the
 * commit. docs/protocol.md has it in full.
 */
import { controlExchange, retryKey } from '../model/control-exchange.ts'
import { BrokerError } from '../model/errors.ts'
import type { FieldTable, PlainValue } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { delayMs } from './message-check.ts'
import type { ParkedHeaders } from './parked-entries.ts'

export interface RetryRequest {
  readonly deliveryTag: number
  readonly delayMs: number
  readonly headers: ParkedHeaders
}

/** What the next receiver is told. */
const toldHeaders = ['x-leveret-attempt', 'x-leveret-error', 'x-leveret-history', 'x-leveret-first-time'] as const
/** Of all of them together. */
const headerBytesMax = 16_384

export function isRetryRequest({ exchange, routingKey }: Message): boolean {
  return routingKey === retryKey && exchange === controlExchange
}

/** Throws PRECONDITION_FAILED. */
export function readRetryRequest(message: Message): RetryRequest {
  const { headers } = message.decodeProperties()
  const tag = headers?.get('x-leveret-delivery')?.value
  if (typeof tag !== 'number' || !Number.isInteger(tag) || tag < 1) {
    throw new BrokerError('PRECONDITION_FAILED', 'a retry names its delivery in x-leveret-delivery, an integer from 1')
  }
  return { deliveryTag: tag, delayMs: delayMs(message), headers: toldOf(headers) }
}

function toldOf(headers: FieldTable | undefined): ParkedHeaders {
  const told: { [name: string]: PlainValue } = {}
  let bytes = 0
  for (const name of toldHeaders) {
    const value = headers?.get(name)?.value
    if (typeof value !== 'string' && typeof value !== 'number') continue
    bytes += typeof value === 'string' ? Buffer.byteLength(value) : 8
    told[name] = value
  }
  if (bytes <= headerBytesMax) return told
  const text = `the headers of a retry have ${bytes} bytes, and at most ${headerBytesMax} are remembered`
  throw new BrokerError('PRECONDITION_FAILED', text)
}
