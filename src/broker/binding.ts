/** A binding from an exchange to a queue or to another exchange. Its identity is source, destination, key and arguments. */
import { ByteWriter } from '../lib/byte-writer.ts'
import { type FieldTable, writeTable } from '../model/field-table.ts'
import type { Exchange } from './exchange.ts'
import type { Queue } from './queue.ts'

export interface Binding {
  readonly source: Exchange
  /** One of the two destinations is null. */
  readonly queue: Queue | null
  readonly exchange: Exchange | null
  readonly routingKey: string
  readonly arguments: FieldTable
  readonly identity: string
  /** Durable when both ends are. */
  readonly durable: boolean
}

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
