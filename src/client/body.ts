/**
 * Values and bodies.
 *
 *     what is sent                      content type                 what the receiver gets
 *     any value, text too               application/json             the value
 *     undefined                         application/json, no body    undefined
 *     Buffer, Uint8Array                application/octet-stream     Buffer
 *     text with a contentType           that one                     text for text/*, else Buffer
 *     bytes with a contentType          that one                     the same
 *
 * A body without a content type, as many plain AMQP clients send it, is taken as JSON if it is JSON, else as a Buffer.
 *
 * What is sent is refused if JSON would make something else of it: a Promise that nobody awaited and a Map would become {}, NaN
 * null. Only the value itself is looked at: what is inside it is as JSON.stringify says.
 */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { asError } from './headers.ts'
import { shown } from './names.ts'

export const jsonType = 'application/json'
export const bytesType = 'application/octet-stream'

const empty: Buffer = Buffer.alloc(0)

export interface Encoded {
  readonly contentType: string
  /** Text is to be written as UTF-8. */
  readonly body: Buffer | string
}

/** Throws E_BAD_DATA; `what` names the thing: "the data for queue 'resize'". */
export function encodeBody(value: unknown, contentType: string | undefined, what: string): Encoded {
  if (value instanceof Uint8Array) return { contentType: contentType ?? bytesType, body: asBuffer(value) }
  if (contentType === undefined) return { contentType: jsonType, body: toJson(value, what) }
  if (isJsonType(contentType)) return { contentType, body: toJson(value, what) }
  if (typeof value === 'string') return { contentType, body: value }
  throw new LeveretError(
    'E_BAD_DATA',
    `${what} is ${shown(value)}, and the content type '${contentType}' is not JSON: give text or bytes`,
  )
}

/** As `encodeBody` without a content type. Throws E_BAD_DATA, also for what has more bytes than the broker takes. */
export function encodeWithin(value: unknown, bytesMax: number, what: string): Encoded {
  const encoded = encodeBody(value, undefined, what)
  checkSize(Buffer.byteLength(encoded.body), bytesMax, what)
  return encoded
}

/** Throws E_BAD_DATA: the broker's own refusal would take everything with it that is on the same channel. */
export function checkSize(bodyBytes: number, bytesMax: number, what: string): void {
  if (bodyBytes <= bytesMax) return
  const text = `${what} has ${bodyBytes} bytes, at most ${bytesMax} are taken: store it elsewhere and send where it is`
  throw new LeveretError('E_BAD_DATA', text)
}

/** The JSON of a value; '' for undefined. Throws E_BAD_DATA for what JSON cannot say. */
export function toJson(value: unknown, what: string): string {
  try {
    const text = JSON.stringify(value) as string | undefined
    if (text !== undefined && (isPlain(value) || isTold(value, text))) return text
  } catch (error) {
    throw new LeveretError('E_BAD_DATA', `${what} cannot be written as JSON: ${asError(error).message}`, error)
  }
  if (value === undefined) return ''
  const advice = isThenable(value) ? 'await it before' : 'send data or bytes'
  throw new LeveretError('E_BAD_DATA', `${what} is ${shown(value)}, which JSON has no word for: ${advice}`)
}

/** Whether JSON says what it is without a closer look. */
function isPlain(value: unknown): boolean {
  if (typeof value === 'string') return true
  if (typeof value !== 'object' || value === null) return typeof value !== 'number'
  return Array.isArray(value) || (Object.getPrototypeOf(value) === Object.prototype && !('then' in value))
}

/** The language's own whose content JSON leaves out, or makes something else of. */
const untold: ReadonlySet<string> = new Set([
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'Promise',
  'RegExp',
  'Error',
  'ArrayBuffer',
  'SharedArrayBuffer',
])

/** Whether its JSON stands for it. */
function isTold(value: unknown, text: string): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (isThenable(value)) return false
  const name = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (name === 'Date') return text !== 'null'
  if (typeof (value as { readonly toJSON?: unknown }).toJSON === 'function') return true
  // Of what keeps everything to itself, such as a URLSearchParams, nothing is left.
  return !untold.has(name) && (text !== '{}' || name === 'Object' || name.endsWith('Array'))
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function'
}

/** Throws E_BAD_DATA for a body that is not what its content type says. */
export function decodeBody(message: Message, properties: Properties, what: string): unknown {
  const { contentType, contentEncoding } = properties
  if (contentEncoding !== undefined && !/^(utf-?8|identity|)$/i.test(contentEncoding)) return copyOfBody(message)
  if (contentType === undefined || contentType === '') return guess(message)
  if (isJsonType(contentType)) return parseJson(message, what)
  if (/^text\//i.test(contentType)) return bodyText(message)
  return copyOfBody(message)
}

export function parseJson(message: Message, what: string): unknown {
  if (message.bodyBytes === 0) return undefined
  try {
    return JSON.parse(bodyText(message))
  } catch (error) {
    throw new LeveretError('E_BAD_DATA', `${what} is not the JSON it says it is: ${(error as Error).message}`, error)
  }
}

/** A message's body lives in a buffer that holds others too, and moves: what a user keeps is a copy. */
export function copyOfBody(message: Message): Buffer {
  return message.bodyBytes === 0 ? empty : Buffer.from(message.body)
}

function bodyText(message: Message): string {
  return message.source.toString('utf8', message.bodyStart, message.bodyEnd)
}

function guess(message: Message): unknown {
  if (message.bodyBytes === 0) return undefined
  try {
    return JSON.parse(bodyText(message))
  } catch {
    return copyOfBody(message)
  }
}

function isJsonType(contentType: string): boolean {
  return /^application\/(?:[\w.+-]+\+)?json(?:\s*;|\s*$)/i.test(contentType)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
