/** Tables as JSON says them: bytes in base64, times in seconds, and integers that JSON would round as text. */
import type { Json, JsonObject } from './administration.ts'
import type { Decimal, Field, FieldTable } from './field-table.ts'

export function plainTable(pairs: Iterable<readonly [string, Field]>): JsonObject {
  return Object.fromEntries([...pairs].map(([key, field]): [string, Json] => [key, plainValue(field)]))
}

function plainValue({ tag, value }: Field): Json {
  if (tag === 'A') return (value as readonly Field[]).map(plainValue)
  if (tag === 'F') return plainTable(value as FieldTable)
  if (tag === 'x') return (value as Buffer).toString('base64')
  if (tag === 'D') return (value as Decimal).value / 10 ** (value as Decimal).scale
  return typeof value === 'bigint' ? String(value) : (value as boolean | number | string | null)
}
