/** What may be the name of something: checked before anything is sent, so that the error can say what to do. */
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'

/** Of names that get a prefix of ours. */
const nameBytesMax = 200

/** Throws E_BAD_OPTION. Names that begin with `amq.` belong to the broker. */
export function checkQueueName(name: unknown): asserts name is string {
  if (typeof name !== 'string') throw bad(`a queue's name is text, not ${typeof name}`)
  if (name === '') throw bad("a queue's name is empty: give it one, such as 'resize'")
  const bytes = Buffer.byteLength(name)
  if (bytes > limits.nameBytesMax) {
    throw bad(`the queue name '${name.slice(0, 40)}…' has ${bytes} bytes: at most ${limits.nameBytesMax} fit`)
  }
  if (name.startsWith('amq.'))
    throw bad(`the queue name '${name}' begins with 'amq.', which is the broker's own: use another`)
}

/** Throws E_BAD_OPTION unless it is text that fits behind a prefix; `what` is such as "a sender's name". */
export function checkName(where: string, what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string') throw bad(`${where}: ${what} is ${typeof name}, and has to be text`)
  const bytes = Buffer.byteLength(name)
  if (bytes < 1 || bytes > nameBytesMax)
    throw bad(`${where}: ${what} has ${bytes} bytes, and 1 to ${nameBytesMax} are wanted`)
}

/** Throws E_BAD_OPTION unless it is words with dots between them, such as 'image.resized'. */
export function checkEventName(name: unknown): asserts name is string {
  if (typeof name !== 'string') throw bad(`an event's name is text, not ${typeof name}`)
  const bytes = Buffer.byteLength(name)
  if (bytes > limits.nameBytesMax)
    throw bad(`the event name '${name.slice(0, 40)}…' has ${bytes} bytes: at most 255 fit`)
  const words = name.split('.')
  if (words.every((word) => word !== '' && word !== '*' && word !== '#')) return
  throw bad(`'${name}' is no name for an event: words with dots between them are, such as 'image.resized'`)
}

/** Throws E_BAD_OPTION unless it is such words, or `*` for any one word, `#` for any number of them. */
export function checkEventPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern !== 'string') throw bad(`what to listen to is an event or a pattern, not ${typeof pattern}`)
  const bytes = Buffer.byteLength(pattern)
  if (bytes > limits.nameBytesMax)
    throw bad(`the pattern '${pattern.slice(0, 40)}…' has ${bytes} bytes: at most 255 fit`)
  const isGood = pattern.split('.').every((word) => word !== '' && (word.length === 1 || !/[*#]/.test(word)))
  if (isGood) return
  throw bad(
    `'${pattern}' is no pattern of events: words with dots between them are, '*' for one and '#' for any, as in 'image.*'`,
  )
}

/** Throws E_BAD_OPTION for an option that is not in `known`; `soon` are names that the design has and the code not yet. */
export function checkOptionNames(
  where: string,
  options: object,
  known: readonly string[],
  soon: readonly string[] = [],
): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    if (soon.includes(name)) throw new LeveretError('E_UNSUPPORTED', `${where}: the option '${name}' is not built yet`)
    throw bad(`${where}: there is no option '${name}'; the options are ${known.join(', ')}`)
  }
}

/** Throws E_BAD_OPTION unless it is an integer within the range. */
export function checkInteger(where: string, name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw bad(`${where}: ${name} is ${String(value)}, and has to be an integer from ${min} to ${max}`)
}

function bad(text: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', text)
}
