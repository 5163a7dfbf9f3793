/**
 * What may be the name of something, and which options there are: checked before anything is done, so that the error can say what
 * to do. Nothing here trusts the types: many who call it have none.
 */
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'

/** Of names that get a prefix of ours. */
const nameBytesMax = 200

/** Throws E_BAD_OPTION. Names that begin with `amq.` belong to the broker. `thing` is what has it, such as 'call'. */
export function checkQueueName(name: unknown, thing: string = 'queue'): asserts name is string {
  if (typeof name !== 'string') throw bad(`a ${thing}'s name is text, not ${shown(name)}`)
  if (name === '') throw bad(`a ${thing}'s name is empty: give it one, such as 'resize'`)
  const bytes = Buffer.byteLength(name)
  if (bytes > limits.nameBytesMax) {
    throw bad(`the ${thing} name '${name.slice(0, 40)}…' has ${bytes} bytes: at most ${limits.nameBytesMax} fit`)
  }
  if (name.startsWith('amq.'))
    throw bad(`the ${thing} name '${name}' begins with 'amq.', which is the broker's own: use another`)
}

/** Throws E_BAD_OPTION unless it is text that fits behind a prefix; `what` is such as "a sender's name". */
export function checkName(where: string, what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string') throw bad(`${where}: ${what} is ${shown(name)}, and has to be text`)
  const bytes = Buffer.byteLength(name)
  if (bytes < 1 || bytes > nameBytesMax)
    throw bad(`${where}: ${what} has ${bytes} bytes, and 1 to ${nameBytesMax} are wanted`)
}

/** Throws E_BAD_OPTION unless it is words with dots between them, such as 'image.resized'. */
export function checkEventName(name: unknown): asserts name is string {
  if (typeof name !== 'string') throw bad(`an event's name is text, not ${shown(name)}`)
  const bytes = Buffer.byteLength(name)
  if (bytes > limits.nameBytesMax)
    throw bad(`the event name '${name.slice(0, 40)}…' has ${bytes} bytes: at most 255 fit`)
  const words = name.split('.')
  if (words.every((word) => word !== '' && word !== '*' && word !== '#')) return
  throw bad(`'${name}' is no name for an event: words with dots between them are, such as 'image.resized'`)
}

/** Throws E_BAD_OPTION unless it is such words, or `*` for any one word, `#` for any number of them. */
export function checkEventPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern !== 'string') throw bad(`what to listen to is an event or a pattern, not ${shown(pattern)}`)
  const bytes = Buffer.byteLength(pattern)
  if (bytes > limits.nameBytesMax)
    throw bad(`the pattern '${pattern.slice(0, 40)}…' has ${bytes} bytes: at most 255 fit`)
  const isGood = pattern.split('.').every((word) => word !== '' && (word.length === 1 || !/[*#]/.test(word)))
  if (isGood) return
  throw bad(
    `'${pattern}' is no pattern of events: words with dots between them are, '*' for one and '#' for any, as in 'image.*'`,
  )
}

type Kind = 'a function' | 'an AbortSignal' | 'true or false' | 'text'

/** Options that are of the same kind wherever they are. */
const optionKinds: ReadonlyMap<string, Kind> = new Map([
  ['onError', 'a function'],
  ['onDelivered', 'a function'],
  ['onProgress', 'a function'],
  ['onProcessed', 'a function'],
  ['signal', 'an AbortSignal'],
  ['raw', 'true or false'],
  ['jitter', 'true or false'],
  ['withHashes', 'true or false'],
  ['contentType', 'text'],
  ['title', 'text'],
  ['version', 'text'],
  ['description', 'text'],
  ['host', 'text'],
  ['virtualHost', 'text'],
])

/**
 * Throws E_BAD_OPTION unless they are an object, for an option that is not in `known`, for one that is null, and for a callback,
 * signal or text that is none; `soon` are names that the design has and the code not yet.
 */
export function checkOptionNames(
  where: string,
  options: unknown,
  known: readonly string[],
  soon: readonly string[] = [],
): void {
  checkObject(where, options, `an object of options is wanted; ${theOptions(known)}`)
  for (const name of Object.keys(options)) {
    if (known.includes(name)) checkOption(where, name, options[name])
    else if (soon.includes(name)) {
      throw new LeveretError('E_UNSUPPORTED', `${where}: the option '${name}' is not built yet`)
    } else throw bad(`${where}: there is no option '${name}'; ${theOptions(known)}`)
  }
}

/**
 * Throws E_BAD_OPTION for what has no names and values: null, a number, a list, a function, a promise that nobody awaited.
 * `wanted` is such as 'an object of schemas is wanted'.
 */
export function checkObject(
  where: string,
  value: unknown,
  wanted: string,
): asserts value is Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw bad(`${where}: ${shown(value)} is given where ${wanted}`)
}

/** Throws E_BAD_OPTION unless it is text; `what` is such as 'the reason'. */
export function checkText(where: string, what: string, value: unknown): void {
  if (typeof value !== 'string') throw bad(`${where}: ${what} is ${shown(value)}, and has to be text`)
}

/** Throws E_BAD_OPTION unless it is a function. */
export function checkFunction(where: string, what: string, value: unknown): void {
  if (typeof value !== 'function') throw bad(`${where}: ${what} is ${shown(value)}, and has to be a function`)
}

/** Whether it is an object with names and values, and not one of the language's own that stand for something else. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || Object.prototype.toString.call(value) === '[object Object]'
}

/** A value as errors name it, on one line. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= 60 ? `'${value}'` : `'${value.slice(0, 60)}…'`
    case 'function':
      return 'a function'
    case 'object':
      break
    default:
      return String(value)
  }
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  const name = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (name === 'Object') return 'an object'
  if (name === 'Date' && Number.isNaN(Number(value))) return 'an invalid Date'
  return /^[AEIO]/.test(name) ? `an ${name}` : `a ${name}`
}

/** Throws E_BAD_OPTION unless it is an integer within the range. */
export function checkInteger(where: string, name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw bad(`${where}: ${name} is ${shown(value)}, and has to be an integer from ${min} to ${max}`)
}

function checkOption(where: string, name: string, value: unknown): void {
  if (value === undefined) return
  if (value === null) throw bad(`${where}: ${name} is null: leave it out, or give it a value`)
  const kind = optionKinds.get(name)
  if (kind !== undefined && !isOfKind(kind, value)) {
    throw bad(`${where}: ${name} is ${shown(value)}, and has to be ${kind}`)
  }
}

function isOfKind(kind: Kind, value: {}): boolean {
  switch (kind) {
    case 'a function':
      return typeof value === 'function'
    case 'true or false':
      return typeof value === 'boolean'
    case 'text':
      return typeof value === 'string'
    case 'an AbortSignal':
      // Those of other realms, and of packages that imitate it, are as good.
      return typeof (value as AbortSignal).aborted === 'boolean' && 'addEventListener' in Object(value)
  }
}

function theOptions(known: readonly string[]): string {
  if (known.length === 1) return `the only option is ${known[0]}`
  return `the options are ${known.join(', ')}`
}

function bad(text: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', text)
}
