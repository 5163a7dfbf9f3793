/** A look at what waits in a queue: nothing is taken, counted or changed by it. */
import type { LeveretMessages } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import type { PeekedMessage, PeekQueue } from '../model/queue-command.ts'
import type { Entry } from '../store/entry.ts'
import type { Queue } from './queue.ts'
import { shown } from './rewrite.ts'

/** Around each message, in an answer of JSON: more than its numbers and names of properties take. */
const overheadBytes = 1_024

/** Answers now or later. Throws PRECONDITION_FAILED for a limit or a skip that cannot be. */
export function peek(queue: Queue, command: PeekQueue, answer: (messages: LeveretMessages) => void): void {
  const { limit, skip = 0, state } = command
  checkRange('limit', limit, 1, limits.peekedMax)
  checkRange('skip', skip, 0, limits.peekSkipMax)
  queue.trim()
  const { index } = queue
  const { waiting } = index
  const found = state === 'ready' ? waiting.ready(skip, limit) : waiting.hidden(skip, limit)
  const entries = found.slice(0, fitting(found))
  // As they are now: nobody knows what becomes of them while their messages are read.
  const facts = entries.map((entry) => factsOf(entry, state))
  index.read(entries, (all) => {
    const messages: PeekedMessage[] = []
    for (const [at, message] of all.entries()) {
      // What cannot be read stays where it is, unseen.
      if (message !== null) messages.push({ ...(facts[at] as Facts), ...contentOf(message) })
    }
    answer({ type: 'leveret.messages', messages, more: entries.length < found.length })
  })
}

type Facts = Omit<PeekedMessage, 'message' | 'hasBody' | 'bodyBytes'>

function factsOf({ sequence, dueAt, expiresAt, deliveryCount }: Entry, state: PeekedMessage['state']): Facts {
  // Clocks may have parts of a millisecond, and what is on the disk has not.
  return { sequence, state, dueAt: Math.ceil(dueAt), expiresAt: Math.floor(expiresAt), deliveryCount }
}

/** A copy: the message may lie in what came from a socket, or may be let go of. */
function contentOf(waiting: Message): Pick<PeekedMessage, 'message' | 'hasBody' | 'bodyBytes'> {
  const { bodyBytes } = waiting
  const { exchange, routingKey, propertyBytes, body } = shown(waiting, 0)
  const hasBody = isGiven(bodyBytes)
  return { message: Message.of(exchange, routingKey, propertyBytes, hasBody ? body : noBody), hasBody, bodyBytes }
}

const noBody = Buffer.alloc(0)

function isGiven(bodyBytes: number): boolean {
  return bodyBytes <= limits.bodyInlineBytesMax
}

/** How many of the first fit into one answer, in base64; at least one. */
function fitting(entries: readonly Entry[]): number {
  let bytes = 0
  let count = 0
  for (const { message, recordBytes, bodyBytes } of entries) {
    const contentBytes = message === null ? recordBytes : message.contentBytes
    const isLeftOut = !isGiven(bodyBytes) && contentBytes > bodyBytes
    bytes += overheadBytes + Math.ceil(((isLeftOut ? contentBytes - bodyBytes : contentBytes) * 4) / 3)
    if (bytes > limits.peekedBytesMax && count > 0) break
    count++
  }
  return count
}

function checkRange(what: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new BrokerError('PRECONDITION_FAILED', `peek: ${what} is ${value}, and must be from ${min} to ${max}`)
}
