/**
 * The history that a message carries when a queue has got rid of it, in the headers RabbitMQ gives it
 * (https://www.rabbitmq.com/docs/dlx):
 *
 *     x-death                                  array of tables, the latest event first, one for each queue and reason:
 *                                              [original-expiration S] count l, reason S, queue S, time T (of the first),
 *                                              exchange S, routing-keys A of S
 *     x-first-death-queue, -reason, -exchange  of the first event there ever was
 *     x-last-death-queue, -reason, -exchange   of the latest
 */
import { BrokerError } from '../model/errors.ts'
import type { Field, FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { changeProperties, markDied } from '../model/properties.ts'
import type { DeathReason } from './departure-reason.ts'
import { copyKeysOf } from './message-check.ts'

export class Death {
  /** What is published instead. */
  readonly message: Message
  /** Events, the latest first. */
  private readonly events: readonly FieldTable[]
  /** It died before, nobody rejected it now, and where it was cannot be told. */
  private readonly mayGoRound: boolean

  /** `key` null: it keeps its own. */
  constructor(dead: Message, queue: string, reason: DeathReason, nowMs: number, exchange: string, key: string | null) {
    const routingKey = key ?? dead.routingKey
    let events: readonly FieldTable[] = []
    let properties = dead.propertyBytes
    let mayGoRound = false
    try {
      const { expiration, headers } = dead.decodeProperties()
      // What publishers write there is theirs: only what the broker wrote is history.
      const earlier = dead.died ? eventsOf(headers) : []
      const told = history(dead, earlier, headers, queue, reason, nowMs, expiration)
      const added = historyHeaders(told, earlier.length === 0, dead.exchange, queue, reason)
      // Its sender has been told what became of it; what becomes of the dead letter is another story.
      if (headers?.has('x-leveret-receipt') === true) added.set('x-leveret-receipt', text(''))
      // It has been hidden already, where it was sent to.
      const change = { without: ['x-leveret-delay'], headers: added, withoutExpiration: true }
      properties = markDied(changeProperties(properties, change))
      events = told
    } catch (error) {
      // Headers that nobody can read cannot be added to; that is no reason to lose the message, the first time.
      if (!(error instanceof BrokerError)) throw error
      properties = markDied(Buffer.from(properties))
      mayGoRound = dead.died && reason !== 'rejected'
    }
    this.events = events
    this.mayGoRound = mayGoRound
    this.message = dead.copy(exchange, routingKey, properties)
  }

  /** Whether it has been in that queue, and nobody rejected it since: then it would go round for ever. */
  wentRound(queue: string): boolean {
    if (this.mayGoRound) return true
    for (const event of this.events) {
      if (textOf(event, 'reason') === 'rejected') return false
      if (textOf(event, 'queue') === queue) return true
    }
    return false
  }
}

/** The events there were and this one, the latest first. */
function history(
  dead: Message,
  earlier: readonly FieldTable[],
  headers: FieldTable | undefined,
  queue: string,
  reason: DeathReason,
  nowMs: number,
  expiration: string | undefined,
): readonly FieldTable[] {
  const isSame = (event: FieldTable): boolean => textOf(event, 'queue') === queue && textOf(event, 'reason') === reason
  const known = earlier.find(isSame)
  const event =
    known === undefined ? newEvent(dead, queue, reason, nowMs, expiration, shownCopies(dead, headers)) : again(known)
  return [event, ...earlier.filter((other) => other !== known)]
}

/** What those events say, as headers. */
function historyHeaders(
  events: readonly FieldTable[],
  isFirst: boolean,
  exchange: string,
  queue: string,
  reason: DeathReason,
): Map<string, Field> {
  const table = new Map<string, Field>()
  table.set('x-death', { tag: 'A', value: events.map((value): Field => ({ tag: 'F', value })) })
  const facts: readonly (readonly [string, string])[] = [
    ['queue', queue],
    ['reason', reason],
    ['exchange', exchange],
  ]
  for (const [name, value] of facts) {
    if (isFirst) table.set(`x-first-death-${name}`, text(value))
    table.set(`x-last-death-${name}`, text(value))
  }
  return table
}

function newEvent(
  dead: Message,
  queue: string,
  reason: DeathReason,
  nowMs: number,
  expiration: string | undefined,
  copies: readonly string[],
): FieldTable {
  const event = new Map<string, Field>()
  if (expiration !== undefined) event.set('original-expiration', text(expiration))
  event.set('count', { tag: 'l', value: 1 })
  event.set('reason', text(reason))
  event.set('queue', text(queue))
  event.set('time', { tag: 'T', value: Math.floor(nowMs / 1_000) })
  event.set('exchange', text(dead.exchange))
  event.set('routing-keys', { tag: 'A', value: [dead.routingKey, ...copies].map(text) })
  return event
}

/** The further keys of the message that receivers may know of: not those of BCC. */
function shownCopies(dead: Message, headers: FieldTable | undefined): readonly string[] {
  const field = headers?.get('CC')
  // A message that got another key when it died was published by that one alone.
  if (field?.tag !== 'A' || copyKeysOf(dead).length === 0) return []
  return (field.value as readonly Field[]).filter(({ tag }) => tag === 'S').map(({ value }) => value as string)
}

function again(event: FieldTable): FieldTable {
  const count = event.get('count')?.value
  return new Map(event).set('count', { tag: 'l', value: typeof count === 'number' ? count + 1 : 1 })
}

function eventsOf(headers: FieldTable | undefined): FieldTable[] {
  const field = headers?.get('x-death')
  if (field?.tag !== 'A') return []
  return (field.value as readonly Field[]).filter(({ tag }) => tag === 'F').map(({ value }) => value as FieldTable)
}

function textOf(event: FieldTable, name: string): string | null {
  const value = event.get(name)?.value
  return typeof value === 'string' ? value : null
}

function text(value: string): Field {
  return { tag: 'S', value }
}
