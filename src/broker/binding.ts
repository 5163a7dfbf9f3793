/** Making bindings, and what makes two of them the same: source, destination, key and arguments. */
import { ByteWriter } from '../lib/byte-writer.ts'
import { type FieldTable, writeTable } from '../model/field-table.ts'
import type { Binding, Exchange } from './exchange.ts'
import type { Queue } from './queue.ts'

export function makeBinding(
  source: Exchange,
  destination: Queue | Exchange,
  routingKey: string,
  table: FieldTable,
): Binding {
  const toQueue = destination.kindOfThing === 'queue'
  return {
    source,
    queue: toQueue ? destination : null,
    exchange: toQueue ? null : destination,
    routingKey,
    arguments: table,
    identity: bindingIdentity(destination.kindOfThing, destination.name, routingKey, table),
    durable: source.durable && destination.durable,
  }
}

export function bindingIdentity(
  kind: 'queue' | 'exchange',
  name: string,
  routingKey: string,
  table: FieldTable,
): string {
  const writer = new ByteWriter(64)
  writer.text(kind)
  writer.text(name)
  writer.text(routingKey)
  writeTable(writer, new Map([...table].sort(([left], [right]) => (left < right ? -1 : 1))))
  return writer.toBuffer().toString('latin1')
}
