/**
 * What the ledger knows: publishes that were made, entries in queues, and facts that must survive once their frame is
 * durable. `DurableState` is the sum of the facts of a log up to some frame, which is what recovery must find.
 */
import { crc32 } from '../../lib/crc32.ts'
import type { FieldTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'

/** One publish that somebody made. */
export interface Publication {
  /** Counted over the whole history. */
  readonly id: number
  /** The channel it is made for. */
  readonly maker: string
  readonly exchange: string
  readonly routingKey: string
  readonly persistent: boolean
  readonly headers: FieldTable
  /** As its receivers see it. */
  readonly fingerprint: string
  readonly priority: number
  readonly bodyBytes: number
  /** Keys that it is routed by beside its own. */
  readonly copies: readonly string[]
  /** Property bytes and body, as they stand in a record of the log. */
  readonly content: Buffer
  /** It has come to the broker. */
  arrived: boolean
  /** What its publisher was told. */
  outcome: 'unknown' | 'confirmed' | 'refused'
}

/** A publication's place in one queue. */
export interface ModelEntry {
  readonly publication: Publication
  readonly queue: string
  readonly position: number
  /** Its place in the order in which messages leave the queue: the highest priority first, then the oldest. */
  readonly rank: number
  /** Persistent and in a durable queue: the log knows it. */
  readonly logged: boolean
  /** The frame with its publish. */
  readonly lsn: number
  /** Whether anybody may have seen it: the redelivered flag of its next delivery. */
  handedOut: boolean
  settledLsn: number
}

export interface ExchangeFacts {
  readonly name: string
  readonly kind: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  /** Where messages go that no binding takes; null: nowhere. */
  readonly alternate: string | null
}

/** What the arguments of a queue ask for beside priorities. */
export interface QueueRules {
  readonly singleActive: boolean
  /** So many ready messages, and bytes of their bodies; more are refused. */
  readonly messagesMax: number
  readonly bytesMax: number
}

const unlimited = Number.POSITIVE_INFINITY

export const usualRules: QueueRules = { singleActive: false, messagesMax: unlimited, bytesMax: unlimited }

export interface QueueFacts {
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  /** 0: it has no priorities. */
  readonly maxPriority: number
  readonly rules: QueueRules
}

export interface BindingFacts {
  readonly source: string
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
  /** All of the above as one text. */
  readonly key: string
  readonly durable: boolean
}

export type Fact =
  | { readonly type: 'published'; readonly entries: readonly ModelEntry[] }
  | { readonly type: 'settled'; readonly entry: ModelEntry }
  | { readonly type: 'exchange-declared'; readonly exchange: ExchangeFacts }
  | { readonly type: 'exchange-deleted'; readonly name: string }
  | { readonly type: 'queue-declared'; readonly queue: QueueFacts }
  | { readonly type: 'queue-deleted'; readonly name: string }
  | { readonly type: 'bound'; readonly binding: BindingFacts }
  | { readonly type: 'unbound'; readonly key: string }
  | { readonly type: 'clean' }

export interface DurableQueue {
  readonly facts: QueueFacts
  /** By position, ascending. */
  readonly entries: Map<number, ModelEntry>
}

export class DurableState {
  readonly exchanges: Map<string, ExchangeFacts> = new Map()
  readonly queues: Map<string, DurableQueue> = new Map()
  readonly bindings: Map<string, BindingFacts> = new Map()
  /** The last fact is that the broker was closed. */
  isClean = false

  apply(fact: Fact): void {
    this.isClean = fact.type === 'clean'
    switch (fact.type) {
      case 'published':
        for (const entry of fact.entries) this.queues.get(entry.queue)?.entries.set(entry.position, entry)
        return
      case 'settled': {
        const entries = this.queues.get(fact.entry.queue)?.entries
        if (entries?.get(fact.entry.position) === fact.entry) entries.delete(fact.entry.position)
        return
      }
      case 'exchange-declared':
        this.exchanges.set(fact.exchange.name, fact.exchange)
        return
      case 'exchange-deleted':
        this.exchanges.delete(fact.name)
        this.forgetBindings((binding) => binding.source === fact.name || isTo(binding, 'exchange', fact.name))
        return
      case 'queue-declared':
        this.queues.set(fact.queue.name, { facts: fact.queue, entries: new Map() })
        return
      case 'queue-deleted':
        this.queues.delete(fact.name)
        this.forgetBindings((binding) => isTo(binding, 'queue', fact.name))
        return
      case 'bound':
        this.bindings.set(fact.binding.key, fact.binding)
        return
      case 'unbound':
        this.bindings.delete(fact.key)
        return
      case 'clean':
    }
  }

  copy(): DurableState {
    const copy = new DurableState()
    for (const [name, exchange] of this.exchanges) copy.exchanges.set(name, exchange)
    for (const [name, { facts, entries }] of this.queues) copy.queues.set(name, { facts, entries: new Map(entries) })
    for (const [key, binding] of this.bindings) copy.bindings.set(key, binding)
    copy.isClean = this.isClean
    return copy
  }

  private forgetBindings(isGone: (binding: BindingFacts) => boolean): void {
    for (const [key, binding] of this.bindings) if (isGone(binding)) this.bindings.delete(key)
  }
}

/** Entries in the order in which they leave their queue. */
export function inOrder(entries: Iterable<ModelEntry>): ModelEntry[] {
  return [...entries].sort((left, right) => left.rank - right.rank)
}

function isTo(binding: BindingFacts, kind: 'queue' | 'exchange', name: string): boolean {
  return binding.destinationKind === kind && binding.destination === name
}

/** Tells messages apart by all they carry. */
export function fingerprint(message: Message): string {
  const { source, propertiesStart, propertiesEnd, bodyStart, bodyEnd } = message
  const propertiesCrc = crc32(source, propertiesStart, propertiesEnd, 0)
  const bodyCrc = crc32(source, bodyStart, bodyEnd, 0)
  const lengths = `${propertiesEnd - propertiesStart}+${bodyEnd - bodyStart}`
  return `${message.exchange}/${message.routingKey}/${lengths}/${propertiesCrc.toString(16)}/${bodyCrc.toString(16)}`
}

export function bindingKey(binding: Omit<BindingFacts, 'key' | 'durable'>): string {
  const { source, destination, destinationKind, routingKey } = binding
  const table = [...binding.arguments]
    .map(([name, field]) => `${name}:${field.tag}=${JSON.stringify(field.value)}`)
    .sort()
  return `${source} -> ${destinationKind} ${destination} by '${routingKey}' [${table.join(' ')}]`
}
