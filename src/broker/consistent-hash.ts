/**
 * The consistent hash exchange: each message goes to one destination, chosen by a hash of its routing key, of a header or of
 * a property, in proportion to the destinations' weights. A binding's key is its weight, a number of buckets:
 *
 *     buckets    0 1 2   3   4 5          bound with weights 3, 1 and 2
 *                a a a   b   c c
 *
 * The bucket is found by jump consistent hashing (Lamping and Veach, https://arxiv.org/abs/1406.2294): when a bucket is added
 * at the end, only what moves to it moves.
 */
import { crc32 } from '../lib/crc32.ts'
import { BrokerError } from '../model/errors.ts'
import { type Field, type FieldTable, fromField } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { RouteSet } from './route-set.ts'
import type { RoutedBinding, Router } from './router.ts'

type HashedProperty = 'correlation_id' | 'message_id' | 'timestamp'

const hashedProperties: readonly string[] = ['correlation_id', 'message_id', 'timestamp']

/** Throws PRECONDITION_FAILED unless the arguments say at most one thing to hash, and one that there is. */
export function checkHashArguments(table: FieldTable): void {
  const property = table.get('hash-property')
  if (property === undefined) return
  if (table.has('hash-header')) {
    const text = "hash-header and hash-property are mutually exclusive and can't be set at the same time"
    throw new BrokerError('PRECONDITION_FAILED', text)
  }
  const name = plain(property)
  if (hashedProperties.includes(name)) return
  const allowed = hashedProperties.join(', ')
  throw new BrokerError('PRECONDITION_FAILED', `Unsupported property ${name}, it must be one of ${allowed}`)
}

/** Throws PRECONDITION_FAILED if the key of a binding is no weight. */
export function checkWeight(routingKey: string): void {
  const weight = weightOf(routingKey)
  if (weight >= 1 && weight <= limits.hashBucketsMax) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `The binding key must be an integer from 1 to ${limits.hashBucketsMax}, got '${routingKey}'`,
  )
}

function weightOf(routingKey: string): number {
  return /^\d{1,9}$/.test(routingKey) ? Number(routingKey) : 0
}

export class HashRouter implements Router {
  readonly routesByKey: boolean
  private readonly header: string | null
  private readonly property: HashedProperty | null
  /** The binding of each bucket. */
  private readonly buckets: RoutedBinding[] = []
  /** Destinations that have their buckets. Another binding of one changes nothing as long as the first is there. */
  private readonly bindings = new Map<unknown, RoutedBinding>()

  constructor(table: FieldTable) {
    this.header = textOf(table.get('hash-header'))
    this.property = textOf(table.get('hash-property')) as HashedProperty | null
    this.routesByKey = this.header === null && this.property === null
  }

  add(binding: RoutedBinding): void {
    const destination = binding.queue ?? binding.exchange
    if (this.bindings.has(destination)) return
    this.bindings.set(destination, binding)
    for (let left = weightOf(binding.routingKey); left > 0; left--) this.buckets.push(binding)
  }

  remove(binding: RoutedBinding): void {
    const destination = binding.queue ?? binding.exchange
    if (this.bindings.get(destination) !== binding) return
    this.bindings.delete(destination)
    const { buckets } = this
    let kept = 0
    for (const other of buckets) if (other !== binding) buckets[kept++] = other
    buckets.length = kept
  }

  route(key: string, message: Message, into: RouteSet): boolean {
    const { buckets } = this
    if (buckets.length === 0) return false
    const bytes = Buffer.from(this.hashed(key, message))
    const { queue, exchange } = buckets[jump(crc32(bytes, 0, bytes.length, 0), buckets.length)] as RoutedBinding
    into.follow(queue, exchange)
    return true
  }

  /** What is not there hashes as the empty text: all such messages go to one place. */
  private hashed(key: string, message: Message): string {
    if (this.header !== null) {
      const field = message.decodeProperties().headers?.get(this.header)
      return field === undefined ? '' : plain(field)
    }
    if (this.property === null) return key
    const { correlationId, messageId, timestamp } = message.decodeProperties()
    if (this.property === 'timestamp') return timestamp === undefined ? '' : String(timestamp)
    return (this.property === 'message_id' ? messageId : correlationId) ?? ''
  }
}

/** The bucket of a hash among so many. Jumps ahead in pseudo-random steps, so that few buckets are looked at. */
export function jump(hash: number, buckets: number): number {
  let state = hash
  let bucket = 0
  let next = 0
  while (next < buckets) {
    bucket = next
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    const random = (((mixed ^ (mixed >>> 14)) >>> 0) + 1) / 4294967296
    next = Math.floor((bucket + 1) / random)
  }
  return bucket
}

function plain(field: Field): string {
  return typeof field.value === 'string'
    ? field.value
    : JSON.stringify(fromField(field), (_name, value: unknown) => {
        return typeof value === 'bigint' ? String(value) : value
      })
}

function textOf(field: Field | undefined): string | null {
  return field?.tag === 'S' ? (field.value as string) : null
}
