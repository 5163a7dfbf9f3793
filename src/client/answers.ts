/** What comes back to a sender: a message at reply_to, read once, and what it means for the receipt it answers. */
import { LeveretError } from '../model/errors.ts'
import { type FieldTable, toTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { decodeBody, parseJson } from './body.ts'
import { type RemoteError, TransportedError } from './call-errors.ts'
import { headerNames, type OutcomeWord, textHeader } from './headers.ts'
import type { OpenReceipt } from './receipt.ts'

/** Whoever consumes answers is told nothing that a crash could still undo: a commit and the answer in it are told together. */
export const consumesAnswers: FieldTable = toTable({ 'x-leveret-deliver-after': 'confirm' })

export interface Answer {
  /** The id of the message it answers. */
  readonly correlationId: string
  readonly word: OutcomeWord
  readonly message: Message
  readonly properties: Properties
}

const words: readonly string[] = [
  'taken',
  'duplicate',
  'delivered',
  'progress',
  'processed',
  'failed',
  'dead-lettered',
  'expired',
] satisfies readonly OutcomeWord[]

/** Null for what answers nothing. A plain AMQP worker knows no outcomes: what it sends back is a result. */
export function readAnswer(message: Message): Answer | null {
  let properties: Properties
  try {
    properties = message.decodeProperties()
  } catch {
    return null
  }
  const { correlationId } = properties
  if (correlationId === undefined) return null
  const word = textHeader(properties.headers, headerNames.outcome) ?? 'processed'
  return { correlationId, word: (words.includes(word) ? word : 'failed') as OutcomeWord, message, properties }
}

/** Whether nothing more comes after it. */
export function isFinal({ word }: Answer): boolean {
  return word !== 'taken' && word !== 'duplicate' && word !== 'delivered' && word !== 'progress'
}

/** Tells the receipt. */
export function tellReceipt(receipt: OpenReceipt, answer: Answer): void {
  const { headers } = answer.properties
  switch (answer.word) {
    case 'taken':
      return receipt.isFirst()
    case 'duplicate':
      return receipt.isDuplicateOf(textHeader(headers, headerNames.firstId) ?? '')
    case 'delivered':
      return receipt.seen()
    case 'progress':
      return receipt.progressed(shareOf(answer))
    case 'processed':
      return tellResult(receipt, answer)
    default:
      return receipt.settle({ error: failureOf(answer, receipt.queue) })
  }
}

/** The error that a final answer other than `processed` is about. */
export function failureOf({ correlationId, word, message, properties }: Answer, queue: string): LeveretError {
  const { headers } = properties
  const error = textHeader(headers, headerNames.error) ?? 'nobody said why'
  const code = word === 'expired' ? 'E_EXPIRED' : 'E_NOT_PROCESSED'
  const name = textHeader(headers, headerNames.errorName)
  const cause = name === undefined ? undefined : new TransportedError(remoteError(name, error, headers, message))
  return new LeveretError(code, `queue '${queue}': message ${correlationId} ${fate(word)}: ${error}`, cause)
}

function remoteError(name: string, text: string, headers: FieldTable | undefined, body: Message): RemoteError {
  const message = text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text
  return { name, message, code: textHeader(headers, headerNames.errorCode), data: dataOf(body) }
}

/** Of a declared error. */
function dataOf(message: Message): unknown {
  try {
    return (parseJson(message, 'an error') as { readonly data?: unknown } | undefined)?.data
  } catch {
    return undefined
  }
}

function tellResult(receipt: OpenReceipt, { message, properties }: Answer): void {
  const wrong = (error: unknown): void => receipt.settle({ error: asLeveretError(error) })
  try {
    const value = receipt.readResult(decodeBody(message, properties, `the result of message ${receipt.id}`))
    if (value instanceof Promise) value.then((result: unknown) => receipt.settle({ error: null, result }), wrong)
    else receipt.settle({ error: null, result: value })
  } catch (error) {
    wrong(error)
  }
}

function shareOf({ properties }: Answer): number {
  const value = properties.headers?.get(headerNames.progress)?.value
  return typeof value === 'number' ? Math.min(1, Math.max(0, value)) : 0
}

function fate(word: OutcomeWord): string {
  if (word === 'dead-lettered') return 'was dead-lettered'
  return word === 'expired' ? 'has expired' : 'has failed'
}

function asLeveretError(error: unknown): LeveretError {
  if (error instanceof LeveretError) return error
  return new LeveretError('E_BAD_DATA', `the result could not be read: ${String(error)}`, error)
}
