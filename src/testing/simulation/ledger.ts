/**
 * Every publish that was ever made in a history: made by its maker before it goes anywhere, recognised by all it carries
 * wherever it turns up.
 */
import type { Prng } from '../../lib/prng.ts'
import { emptyTable, type Field, type FieldTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import { fingerprint, type Publication } from './facts.ts'
import { type Trace, Violation } from './trace.ts'

export interface Made {
  readonly publication: Publication
  /** A message is used once: the broker moves its bytes. */
  readonly message: Message
}

export class Ledger {
  readonly publications: Publication[] = []
  /** Lives of the broker, counted. */
  life = 0
  private readonly byFingerprint = new Map<string, Publication>()
  /** As they come to the broker. */
  private readonly sent = new Map<string, Publication>()
  private readonly seen = new Map<string, { channel: string; life: number }>()
  private readonly trace: Trace

  constructor(trace: Trace) {
    this.trace = trace
  }

  make(
    prng: Prng,
    maker: string,
    exchange: string,
    routingKey: string,
    isPersistent: boolean,
    bodyBytes: number,
    headers: FieldTable = emptyTable,
  ): Made {
    const id = this.publications.length + 1
    const properties: Properties = { messageId: `publication-${id}` }
    if (isPersistent || prng.chance(0.5)) properties.deliveryMode = isPersistent ? 2 : 1
    if (headers.size > 0) properties.headers = headers
    const priority = prng.chance(0.3) ? prng.below(7) : 0
    if (priority > 0) properties.priority = priority
    if (prng.chance(0.1)) properties.contentType = 'application/json'
    const body = Buffer.alloc(bodyBytes)
    fillBody(prng, body)
    const message = Message.of(exchange, routingKey, encodeProperties(properties), body)
    const sent = fingerprint(message)
    const publication: Publication = {
      id,
      maker,
      exchange,
      routingKey,
      persistent: isPersistent,
      headers,
      priority,
      bodyBytes,
      copies: [...textsIn(headers, 'CC'), ...textsIn(headers, 'BCC')],
      fingerprint: headers.has('BCC') ? withoutHidden(exchange, routingKey, properties, body) : sent,
      content: Buffer.concat([message.propertyBytes, message.body]),
      arrived: false,
      outcome: 'unknown',
    }
    this.publications.push(publication)
    this.byFingerprint.set(publication.fingerprint, publication)
    this.sent.set(sent, publication)
    return { publication, message }
  }

  find(message: Message): Publication | undefined {
    return this.byFingerprint.get(fingerprint(message))
  }

  /** A message comes to the broker. */
  arrived(message: Message): Publication {
    const publication = this.sent.get(fingerprint(message))
    if (publication === undefined) throw this.violated(`a message came to the broker that nobody sent`)
    if (publication.arrived) throw this.violated(`#${publication.id} came to the broker twice`)
    publication.arrived = true
    return publication
  }

  /**
   * A client got it from that queue on that channel. True if it must have been told that this was not the first time: of
   * two channels of one life nobody knows whose message came first.
   */
  noteSeen(publication: Publication, queue: string, channel: string): boolean {
    const key = `${publication.id}@${queue}`
    const before = this.seen.get(key)
    this.seen.set(key, { channel, life: this.life })
    return before !== undefined && (before.channel === channel || before.life !== this.life)
  }

  is(message: Message, publication: Publication): boolean {
    return fingerprint(message) === publication.fingerprint
  }

  private violated(text: string): Violation {
    return this.trace.violated(new Violation('I3', text))
  }

  name(message: Message): string {
    const publication = this.find(message)
    return publication === undefined ? `an unknown message of ${message.bodyBytes} bytes` : `#${publication.id}`
  }
}

/** Cheap, and rarely the same twice: random words in a long body would cost more than all the rest of a history. */
function fillBody(prng: Prng, body: Buffer): void {
  const word = prng.nextU32()
  for (let at = 0; at + 4 <= body.length; at += 4) body.writeUInt32LE((word + Math.imul(at, 0x9e3779b1)) >>> 0, at)
}

/** What receivers see of a message with keys that are for the broker alone. */
function withoutHidden(exchange: string, routingKey: string, properties: Properties, body: Buffer): string {
  const headers = new Map(properties.headers)
  headers.delete('BCC')
  return fingerprint(Message.of(exchange, routingKey, encodeProperties({ ...properties, headers }), body))
}

function textsIn(headers: FieldTable, name: string): string[] {
  return ((headers.get(name)?.value ?? []) as readonly Field[]).map(({ value }) => String(value as string))
}

export function stringField(value: string): Field {
  return { tag: 'S', value }
}
