/** Message properties as JSON says them, named as in docs/protocol.md: what JSON makes of the tags of headers is lost. */
import { countOf, objectOf, textOf } from '../lib/json-values.ts'
import type { JsonObject } from './administration.ts'
import { type PlainValue, toTable } from './field-table.ts'
import { plainTable } from './plain-table.ts'
import type { Properties } from './properties.ts'

const texts = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'type',
  'userId',
  'appId',
  'clusterId',
] as const
const octets = ['deliveryMode', 'priority'] as const

export function plainProperties({ headers, ...others }: Properties): JsonObject {
  return headers === undefined ? others : { ...others, headers: plainTable(headers) }
}

/** An integer becomes the widest one, bytes are text. Throws an Error that names what is wrong. */
export function readPlainProperties(value: unknown): Properties {
  const properties: Properties = {}
  const given = objectOf(value, 'properties')
  for (const name of texts) if (given[name] !== undefined) properties[name] = textOf(given, name)
  for (const name of octets) if (given[name] !== undefined) properties[name] = countOf(given, name) & 255
  if (given['timestamp'] !== undefined) properties.timestamp = Number(given['timestamp'])
  const { headers } = given
  if (headers !== undefined) properties.headers = toTable(objectOf(headers, 'headers') as Record<string, PlainValue>)
  return properties
}
