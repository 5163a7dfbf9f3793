/**
 * Salvage of exchanges, queues and bindings: if a record is lost, those after it may be about what nobody knows. What is
 * left makes sense by itself, as the broker takes for granted.
 */
import type { TopologyRecord } from './record.ts'

type QueueDeclared = Extract<TopologyRecord, { readonly type: 'queue-declared' }>

/** The records without those that are about something that is not there; `leftOut` gets those. */
export function consistentTopology(records: readonly TopologyRecord[], leftOut: TopologyRecord[]): TopologyRecord[] {
  const exchanges = new Set<string>()
  const queues = new Map<string, QueueDeclared>()
  const kept: TopologyRecord[] = []
  for (const record of records) {
    const known = knows(record, exchanges, queues)
    const key = keyOf(record.virtualHost, 'name' in record ? record.name : '')
    if (!known) {
      leftOut.push(record)
      continue
    }
    if (record.type === 'exchange-declared') exchanges.add(key)
    if (record.type === 'exchange-deleted') exchanges.delete(key)
    if (record.type === 'queue-deleted') queues.delete(key)
    if (record.type === 'queue-declared') {
      const before = queues.get(key)
      // It can only be declared anew if it was deleted: that record is lost.
      if (before !== undefined) {
        const { virtualHost, name, queueId } = before
        kept.push({ type: 'queue-deleted', virtualHost, name, queueId })
      }
      queues.set(key, record)
    }
    kept.push(record)
  }
  return kept
}

function knows(record: TopologyRecord, exchanges: ReadonlySet<string>, queues: ReadonlyMap<string, unknown>): boolean {
  const { virtualHost } = record
  const hasExchange = (name: string): boolean =>
    name === '' || name.startsWith('amq.') || exchanges.has(keyOf(virtualHost, name))
  const hasQueue = (name: string): boolean => queues.has(keyOf(virtualHost, name))
  switch (record.type) {
    case 'exchange-deleted':
      return hasExchange(record.name)
    case 'queue-deleted':
      return hasQueue(record.name)
    case 'bound': {
      const { source, destinationKind, destination } = record
      return hasExchange(source) && (destinationKind === 'queue' ? hasQueue(destination) : hasExchange(destination))
    }
    case 'unbound':
      return hasExchange(record.source)
    default:
      return true
  }
}

function keyOf(virtualHost: string, name: string): string {
  return `${virtualHost}\n${name}`
}
