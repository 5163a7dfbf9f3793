/**
 * Salvage of exchanges, queues and bindings: if a record is lost, those after it may be about what nobody knows. What is
 * left makes sense by itself, as the broker takes for granted.
 */
import { delaysForArgument } from '../model/delay-queues.ts'
import { emptyTable } from '../model/field-table.ts'
import type { TopologyRecord } from './record.ts'

type QueueDeclared = Extract<TopologyRecord, { readonly type: 'queue-declared' }>

/** The records without those that are about something that is not there; `leftOut` gets those. */
export function consistentTopology(records: readonly TopologyRecord[], leftOut: TopologyRecord[]): TopologyRecord[] {
  const hosts = new Set(['/'])
  const exchanges = new Set<string>()
  const queues = new Map<string, QueueDeclared>()
  const kept: TopologyRecord[] = []
  for (const record of records) {
    const known =
      record.type === 'virtual-host-deleted' ? hosts.delete(record.virtualHost) : knows(record, exchanges, queues)
    const key = keyOf(record.virtualHost, 'name' in record ? record.name : '')
    if (!known) {
      leftOut.push(record)
      continue
    }
    if (record.type === 'virtual-host-put') hosts.add(record.virtualHost)
    if (record.type === 'virtual-host-deleted') kept.push(...emptied(record.virtualHost, exchanges, queues))
    if (/^(exchange|queue)-declared$/.test(record.type) && !hosts.has(record.virtualHost)) {
      kept.push({ type: 'virtual-host-put', virtualHost: record.virtualHost, metadata: '{}' })
      hosts.add(record.virtualHost)
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
      const declared = withExchange(record, exchanges)
      queues.set(key, declared)
      kept.push(declared)
    } else kept.push(record)
  }
  return kept
}

/** A queue that kept what an exchange delays is one like any other if that is not there: what is due appears in it. */
function withExchange(record: QueueDeclared, exchanges: ReadonlySet<string>): QueueDeclared {
  const exchange = record.arguments.get(delaysForArgument)?.value
  if (typeof exchange !== 'string' || exchanges.has(keyOf(record.virtualHost, exchange))) return record
  const table = new Map(record.arguments)
  table.delete(delaysForArgument)
  return { ...record, arguments: table }
}

/** A virtual host goes when nothing is left in it: what deletes that, where those records are lost. */
function emptied(virtualHost: string, exchanges: Set<string>, queues: Map<string, QueueDeclared>): TopologyRecord[] {
  const records: TopologyRecord[] = []
  for (const [key, queue] of queues) {
    if (queue.virtualHost !== virtualHost) continue
    queues.delete(key)
    records.push({ type: 'queue-deleted', virtualHost, name: queue.name, queueId: queue.queueId })
  }
  const prefix = keyOf(virtualHost, '')
  for (const key of exchanges) {
    if (!key.startsWith(prefix)) continue
    exchanges.delete(key)
    records.push({ type: 'exchange-deleted', virtualHost, name: key.slice(prefix.length) })
  }
  return records
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

/**
 * What a checkpoint, or a record, said of queues is lost with it. Messages whose queue nobody declares any more get one
 * whose name tells its number.
 */
export function rescuedQueues(
  recovered: ReadonlyMap<number, { readonly readyCount: number }>,
  topology: readonly TopologyRecord[],
): TopologyRecord[] {
  const virtualHost = '/'
  const records: TopologyRecord[] = []
  for (const [queueId, index] of recovered) {
    if (index.readyCount === 0) continue
    if (records.length === 0 && isHostDeleted(topology, virtualHost)) {
      records.push({ type: 'virtual-host-put', virtualHost, metadata: '{}' })
    }
    const facts = { virtualHost, queueId, durable: true, autoDelete: false, arguments: emptyTable }
    records.push({ type: 'queue-declared', name: `salvaged-${queueId}`, ...facts })
  }
  return records
}

/** Whether the last that is said of the virtual host is that it was deleted. */
function isHostDeleted(records: readonly TopologyRecord[], virtualHost: string): boolean {
  const last = records.findLast(
    ({ type, virtualHost: host }) => host === virtualHost && type.startsWith('virtual-host-'),
  )
  return last?.type === 'virtual-host-deleted'
}
