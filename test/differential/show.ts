// How frames stand in a transcript: one line each, with everything in it that a client can see.
import { createHash } from 'node:crypto'
import type { MethodName } from '../../src/amqp/methods.ts'
import type { Decimal, Field, FieldTable } from '../../src/model/field-table.ts'
import type { Properties } from '../../src/model/properties.ts'

const longBodyBytes = 100

// Their fields are reserved, so that the decoder does not give them: shown as they stand on the wire.
const reserved: readonly MethodName[] = ['connection.open-ok', 'channel.open-ok', 'basic.get-empty']

export function showArguments(name: MethodName, args: Readonly<Record<string, unknown>>, payload: Buffer): string {
  if (name === 'connection.start') return showStart(args)
  const shown = Object.entries(args).map(([key, value]) => ` ${key}=${showValue(value)}`)
  if (reserved.includes(name)) shown.push(` reserved=${payload.toString('hex', 4)}`)
  return shown.join('')
}

/** The server's properties one a line, so that each can differ for a reason of its own. */
function showStart({ serverProperties, ...others }: Readonly<Record<string, unknown>>): string {
  const lines = [...(serverProperties as FieldTable)]
    .sort(([one], [two]) => (one < two ? -1 : 1))
    .map(([key, value]) => `\n    ${key}=${showField(value)}`)
  const rest = Object.entries(others).map(([key, value]) => ` ${key}=${showValue(value)}`)
  return rest.join('') + lines.join('')
}

export function showProperties(properties: Properties): string {
  return Object.entries(properties)
    .map(([key, value]) => ` ${key}=${showValue(value)}`)
    .join('')
}

/** With the sizes of its frames, if it has more than one. */
export function showBody(frames: readonly Buffer[]): string {
  const body = Buffer.concat(frames)
  const cuts = frames.length > 1 ? ` in frames of ${frames.map((frame) => frame.length).join('+')}` : ''
  if (body.length <= longBodyBytes) return `body=${JSON.stringify(body.toString('latin1'))}${cuts}`
  return `body=${body.length} octets, SHA-1 ${createHash('sha1').update(body).digest('hex')}${cuts}`
}

function showValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (Buffer.isBuffer(value)) return `0x${value.toString('hex')}`
  if (value instanceof Map) return showTable(value as FieldTable)
  return String(value)
}

function showTable(table: FieldTable): string {
  const isDead = table.has('x-death')
  const rows = [...table].filter(([key]) => !isDead || !key.startsWith('x-last-death-'))
  const shown = rows.map(([key, value]) => `${key}=${showField(value)}`)
  // RabbitMQ 3.10 writes what it adds to a dead letter in no order of its own, and does not know of x-last-death-*.
  if (isDead || table.has('routing-keys')) shown.sort()
  return `{${shown.join(', ')}}`
}

function showField({ tag, value }: Field): string {
  switch (tag) {
    case 'A':
      return `A[${(value as readonly Field[]).map(showField).join(', ')}]`
    case 'F':
      return `F${showTable(value as FieldTable)}`
    case 'D':
      return `D${(value as Decimal).value}e-${(value as Decimal).scale}`
    case 'V':
      return 'V'
    default:
      return `${tag}:${showValue(value)}`
  }
}
