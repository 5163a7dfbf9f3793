/**
 * What the broker tells senders that asked for it (header x-leveret-receipt; docs/protocol.md), where nobody else can: that
 * somebody has their message, that it was given up, that a plain consumer acknowledged it, or that it was there before.
 * Each word is a message to `reply_to`, in the same frame of the log as what it tells of.
 */
import { type Field, type FieldTable, toField, toTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { namespaces } from '../model/namespaces.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import type { Clock } from '../platform/clock.ts'
import type { Store } from '../store/store.ts'
import type { DepartureReason } from './departure-reason.ts'

/** A queue, as far as senders of its messages are concerned. */
export interface AskedQueue {
  readonly id: number
  readonly name: string
  readonly durable: boolean
}

/** A virtual host. */
export interface AskedHost {
  readonly queues: ReadonlyMap<string, AskedQueue>
}

/** The words that end it. */
const finalWords: readonly string[] = ['processed', 'failed', 'dead-lettered', 'expired']
/** How long a word that is of interest only now waits for its sender. */
const passingWordMs = '60000'
const receiptHeader = 'x-leveret-receipt'
const outcomeHeader = 'x-leveret-outcome'

/** What an answerer would say of a call that it must not try again. */
const unknownOutcome: FieldTable = toTable({
  'x-leveret-error-name': 'LeveretError',
  'x-leveret-error-code': 'E_OUTCOME_UNKNOWN',
})

/** Somebody who sent a message again that was taken before, and wants to know what becomes of that one. */
interface Asker {
  readonly replyTo: string
  readonly correlationId: string
  readonly words: string
}

/** What was answered, for those who ask later. */
interface KeptOutcome {
  readonly outcome: string
  readonly error: string | undefined
  readonly contentType: string | undefined
  /** Base64. */
  readonly body: string
}

export class SenderReceipts<Host extends AskedHost> {
  private readonly notes: Store['notes']
  private readonly persists: boolean
  private readonly send: (host: Host, answer: Message) => void
  private readonly clock: Clock

  constructor(store: Store, clock: Clock, send: (host: Host, answer: Message) => void) {
    this.notes = store.notes
    this.persists = store.persists
    this.send = send
    this.clock = clock
  }

  /** Whether some message of the queue ever asked. */
  wereAsked(queueId: number, nowMs: number): boolean {
    return this.notes.get(namespaces.asked, String(queueId), nowMs) !== null
  }

  /** From now on the queue has messages that ask. */
  areAsked(queue: AskedQueue, nowMs: number): void {
    this.notes.put(namespaces.asked, String(queue.id), '', nowMs, this.persists && queue.durable)
  }

  /** A consumer is handed the message. */
  delivered(host: Host, queue: string, message: Message): void {
    const request = this.requestOf(message, 'delivered')
    if (request === null) return
    const answer = answerTo(request, queue, 'delivered', undefined)
    this.send(host, toSender(request, { ...answer, deliveryMode: 1, expiration: passingWordMs }, emptyBody))
  }

  /** The message has left its queue, and no worker says so. `isKept`: a dead-letter exchange has it. */
  departed(host: Host, queue: AskedQueue, message: Message, reason: DepartureReason, isKept: boolean): void {
    const request = this.requestOf(message, 'processed')
    if (request === null) return
    const [word, error] = fateOf(reason, isKept)
    const body = error === undefined ? emptyBody : Buffer.from(JSON.stringify({ error }))
    const properties = answerTo(request, queue.name, word, error)
    const headers =
      reason === 'abandoned' ? new Map([...(properties.headers ?? []), ...unknownOutcome]) : properties.headers
    const answer = toSender(request, { ...properties, ...(headers && { headers }), deliveryMode: 2 }, body)
    this.send(host, answer)
    this.answered(host, answer)
  }

  /** The message is the first with its idempotency key. */
  taken(host: Host, queue: string, message: Message): void {
    const request = this.requestOf(message, 'duplicate')
    if (request === null) return
    const answer = answerTo(request, queue, 'taken', undefined)
    this.send(host, toSender(request, { ...answer, deliveryMode: 1, expiration: passingWordMs }, emptyBody))
  }

  /** The message was taken before, as `firstId`, and is left out now. */
  duplicate(host: Host, queue: AskedQueue, message: Message, key: string, firstId: string, nowMs: number): void {
    const request = readRequest(message)
    if (request === null) return
    const { words, replyTo } = request
    if (words.includes('duplicate')) {
      const answer = answerTo(request, queue.name, 'duplicate', undefined)
      const headers = new Map(answer.headers).set('x-leveret-first-id', toField(firstId))
      this.send(host, toSender(request, { ...answer, headers, deliveryMode: 1, expiration: passingWordMs }, emptyBody))
    }
    if (!words.includes('processed')) return
    const noteKey = keyOf(queue, key)
    const kept = this.notes.get(namespaces.outcomes, noteKey, nowMs)
    if (kept !== null) this.send(host, keptAnswer(request, queue.name, JSON.parse(kept) as KeptOutcome))
    else {
      const asker = { replyTo, correlationId: request.correlationId, words: words.join(',') }
      const logged = this.persists && queue.durable && message.persistent
      const askers = [...this.askersOf(noteKey, nowMs), asker].slice(-limits.askersMax)
      this.notes.put(namespaces.askers, noteKey, JSON.stringify(askers), nowMs, logged)
    }
  }

  /**
   * Somebody answers a message: if that had an idempotency key, those who sent it again hear it too, and who sends it later is
   * told what is kept of it.
   */
  answered(host: Host, answer: Message): void {
    const properties = answer.decodeProperties()
    const { headers } = properties
    const word = textOf(headers, outcomeHeader)
    const queue = host.queues.get(textOf(headers, 'x-leveret-queue') ?? '')
    const key = textOf(headers, 'x-leveret-idempotency-key')
    if (queue === undefined || key === undefined || word === undefined) return
    const noteKey = keyOf(queue, key)
    const nowMs = this.clock.realtimeMs()
    const isFinal = finalWords.includes(word)
    for (const { replyTo, correlationId, words } of this.askersOf(noteKey, nowMs)) {
      if (!isFinal && !words.split(',').includes(word)) continue
      this.send(host, Message.of('', replyTo, encodeProperties({ ...properties, correlationId }), answer.body))
    }
    // What was never taken under that key, or too long ago, is nobody's business.
    if (!isFinal || this.notes.get(namespaces.idempotency, noteKey, nowMs) === null) return
    const logged = this.persists && queue.durable
    this.notes.put(namespaces.outcomes, noteKey, JSON.stringify(keptOf(properties, word, answer)), nowMs, logged)
    if (this.notes.get(namespaces.askers, noteKey, nowMs) !== null) {
      this.notes.put(namespaces.askers, noteKey, '[]', nowMs, logged)
    }
  }

  /** Null if its sender does not ask for that word. */
  private requestOf(message: Message, word: string): Request | null {
    const request = readRequest(message)
    return request?.words.includes(word) === true ? request : null
  }

  private askersOf(noteKey: string, nowMs: number): readonly Asker[] {
    const noted = this.notes.get(namespaces.askers, noteKey, nowMs)
    return noted === null ? [] : (JSON.parse(noted) as Asker[])
  }
}

/** A message whose sender wants to be told. */
interface Request {
  readonly words: readonly string[]
  readonly replyTo: string
  readonly correlationId: string
  readonly idempotencyKey: Field | undefined
}

const emptyBody: Buffer = Buffer.alloc(0)

/** Null if it asks for nothing, or nobody could be told. */
function readRequest(message: Message): Request | null {
  const { headers, replyTo, correlationId, messageId } = message.decodeProperties()
  const words = textOf(headers, receiptHeader)?.split(',')
  if (words === undefined || replyTo === undefined || replyTo === '') return null
  const idempotencyKey = headers?.get('x-leveret-idempotency-key')
  return { words, replyTo, correlationId: correlationId ?? messageId ?? '', idempotencyKey }
}

function answerTo(request: Request, queue: string, word: string, error: string | undefined): Properties {
  const headers = new Map([[outcomeHeader, toField(word)]])
  if (error !== undefined) headers.set('x-leveret-error', toField(error))
  headers.set('x-leveret-queue', toField(queue))
  if (request.idempotencyKey !== undefined) headers.set('x-leveret-idempotency-key', request.idempotencyKey)
  return { headers, contentType: 'application/json', correlationId: request.correlationId }
}

function toSender({ replyTo }: Request, properties: Properties, body: Buffer): Message {
  return Message.of('', replyTo, encodeProperties(properties), body)
}

function fateOf(reason: DepartureReason, isKept: boolean): [word: string, error: string | undefined] {
  switch (reason) {
    case 'acknowledged':
      return ['processed', undefined]
    case 'expired':
      return ['expired', 'it waited in the queue for longer than it may']
    case 'rejected':
      return [isKept ? 'dead-lettered' : 'failed', 'a consumer rejected it']
    case 'maxlen':
      return [isKept ? 'dead-lettered' : 'failed', 'the queue was too long']
    case 'delivery_limit':
      return [isKept ? 'dead-lettered' : 'failed', 'it came back too often']
    case 'cancelled':
      return ['failed', 'it was cancelled']
    case 'replaced':
      return ['failed', 'a later one took its place']
    case 'abandoned':
      return ['failed', 'the answerer that had it is gone, and whether it was done nobody knows']
  }
}

/** What is too large to be remembered is said to be so: who asks later must not wait for ever. */
function keptOf({ headers, contentType }: Properties, outcome: string, answer: Message): KeptOutcome {
  if (answer.refers || answer.bodyBytes > limits.keptOutcomeBytesMax) {
    const error = `it was ${outcome}, but the result has ${answer.bodyBytes} bytes and is not remembered`
    return { outcome: 'failed', error, contentType: 'application/json', body: '' }
  }
  return { outcome, error: textOf(headers, 'x-leveret-error'), contentType, body: answer.body.toString('base64') }
}

function keptAnswer(request: Request, queue: string, { outcome, error, contentType, body }: KeptOutcome): Message {
  const { contentType: _, ...answer } = answerTo(request, queue, outcome, error)
  const properties = { ...answer, deliveryMode: 2, ...(contentType === undefined ? {} : { contentType }) }
  return toSender(request, properties, Buffer.from(body, 'base64'))
}

function keyOf(queue: AskedQueue, key: string): string {
  return `${queue.id} ${key}`
}

function textOf(headers: FieldTable | undefined, name: string): string | undefined {
  const value = headers?.get(name)?.value
  return typeof value === 'string' ? value : undefined
}
