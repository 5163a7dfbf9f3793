/**
 * A message as everybody passes it on: where it was published, its property bytes and its body.
 *
 * Property bytes and body are ranges of `source`, which may be the socket's chunk: reading a message costs no copy and no
 * object but this one. Whoever keeps a message beyond the turn it came in calls `keepIn`, so that 20 bytes do not keep
 * a chunk of 64 KiB alive.
 *
 * A body that is too large to be held in memory is in a file of its own (see bodies.ts). Then a reference to it stands in its
 * place, wherever the message is: id u48le, bytes u48le.
 */
import { copyRange } from '../lib/copy-range.ts'
import type { Slab } from '../lib/slab.ts'
import { decodeProperties, type Properties, priorityShift, scanProperties, traits } from './properties.ts'

/** A part of a log in which messages lie; the log may drop it once nothing live points to it. */
export interface Residence {
  readonly id: number
  live: number
  /** How often it was ever referred to. */
  references: number
}

export const referenceBytes = 12

export class Message {
  readonly exchange: string
  readonly routingKey: string
  source: Buffer
  propertiesStart: number
  propertiesEnd: number
  bodyStart: number
  bodyEnd: number
  /** True when `source` holds nothing but this message, so keeping it costs what it weighs. */
  owned: boolean
  /** Where its record is in the log, once it has one. */
  residence: Residence | null
  recordOffset: number
  recordBytes: number
  /** See scanProperties. One number and not a field each: messages are copied by the collector as long as they wait. */
  private readonly traits: number

  /** Throws a BrokerError if the property bytes are not what their flags announce. */
  constructor(
    exchange: string,
    routingKey: string,
    source: Buffer,
    propertiesStart: number,
    propertiesEnd: number,
    bodyStart: number,
    bodyEnd: number,
    owned: boolean,
    refers = false,
  ) {
    this.exchange = exchange
    this.routingKey = routingKey
    this.traits = scanProperties(source, propertiesStart, propertiesEnd) | (refers ? traits.refers : 0)
    this.source = source
    this.propertiesStart = propertiesStart
    this.propertiesEnd = propertiesEnd
    this.bodyStart = bodyStart
    this.bodyEnd = bodyEnd
    this.owned = owned
    this.residence = null
    this.recordOffset = 0
    this.recordBytes = 0
  }

  /** A message of its own from property bytes and a body; both are copied. */
  static of(exchange: string, routingKey: string, properties: Buffer, body: Buffer): Message {
    const source = Buffer.allocUnsafe(properties.length + body.length)
    properties.copy(source, 0)
    body.copy(source, properties.length)
    return new Message(exchange, routingKey, source, 0, properties.length, properties.length, source.length, false)
  }

  /** A message whose body is elsewhere; `reference` says where. */
  static referring(exchange: string, routingKey: string, properties: Buffer, reference: Buffer): Message {
    const source = Buffer.concat([properties, reference])
    const bodyStart = properties.length
    return new Message(exchange, routingKey, source, 0, bodyStart, bodyStart, source.length, true, true)
  }

  /** What stands instead of a body: its id in the store, and how many bytes it has. */
  static reference(id: number, bytes: number): Buffer {
    const reference = Buffer.alloc(referenceBytes)
    reference.writeUIntLE(id, 0, 6)
    reference.writeUIntLE(bytes, 6, 6)
    return reference
  }

  /** The same body under other properties, published elsewhere. */
  copy(exchange: string, routingKey: string, properties: Buffer): Message {
    if (this.refers) return Message.referring(exchange, routingKey, properties, this.body)
    return Message.of(exchange, routingKey, properties, this.body)
  }

  /** Whether the body is elsewhere: then `body` is the reference to it. */
  get refers(): boolean {
    return (this.traits & traits.refers) !== 0
  }

  /** The id of the body that is elsewhere. */
  get bodyId(): number {
    return this.source.readUIntLE(this.bodyStart, 6)
  }

  get persistent(): boolean {
    return (this.traits & traits.persistent) !== 0
  }

  /** Whether it carries an expiration. */
  get expires(): boolean {
    return (this.traits & traits.expires) !== 0
  }

  /** Whether it says which user sent it. */
  get namesUser(): boolean {
    return (this.traits & traits.namesUser) !== 0
  }

  /** Whether its headers may hold CC or BCC; a guess that decoding them settles. */
  get mayCopy(): boolean {
    return (this.traits & traits.mayCopy) !== 0
  }

  /** Whether its headers may have BCC, which no receiver is shown; a guess that decoding them settles. */
  get mayHide(): boolean {
    return (this.traits & traits.mayHide) !== 0
  }

  /** Whether its reply-to may be `amq.rabbitmq.reply-to`; a guess that decoding it settles. */
  get mayReplyDirectly(): boolean {
    return (this.traits & traits.mayReplyDirectly) !== 0
  }

  /** Whether the broker wrote the x-death among its headers; what a publisher writes there means nothing. */
  get died(): boolean {
    return (this.traits & traits.died) !== 0
  }

  /** Whether its headers may name a key, an idempotency key or a delay; a guess that decoding them settles. */
  get mayAsk(): boolean {
    return (this.traits & traits.mayAsk) !== 0
  }

  /** Whether its headers may say that its sender wants to be told; a guess that decoding them settles. */
  get mayTell(): boolean {
    return (this.traits & traits.mayTell) !== 0
  }

  /** Whether its priority holds in a queue without priorities, too. */
  get ranks(): boolean {
    return (this.traits & traits.ranks) !== 0
  }

  /** 0 if it has none. */
  get priority(): number {
    return this.traits >>> priorityShift
  }

  /** Of the body, wherever it is. */
  get bodyBytes(): number {
    return (this.traits & traits.refers) === 0 ? this.bodyEnd - this.bodyStart : this.referredBytes()
  }

  /** Apart from the getter, which is small enough to be inlined for every message. */
  private referredBytes(): number {
    return this.source.readUIntLE(this.bodyStart + 6, 6)
  }

  /** What is held in memory, and goes into the log. */
  get contentBytes(): number {
    return this.propertiesEnd - this.propertiesStart + this.bodyEnd - this.bodyStart
  }

  /** The body, or the reference to it; a view, valid as long as the message is. */
  get body(): Buffer {
    return this.source.subarray(this.bodyStart, this.bodyEnd)
  }

  /** The property bytes; a view. */
  get propertyBytes(): Buffer {
    return this.source.subarray(this.propertiesStart, this.propertiesEnd)
  }

  /** Decodes the properties, afresh at every call. */
  decodeProperties(): Properties {
    return decodeProperties(this.source, this.propertiesStart, this.propertiesEnd)
  }

  /** Copies the content into a buffer of its own. */
  own(): void {
    this.moveTo(Buffer.allocUnsafeSlow(this.contentBytes), 0)
    this.owned = true
  }

  /** Moves the content out of whatever it came in, into memory that is shared only with what lives about as long. */
  keepIn(slab: Slab): void {
    const target = slab.take(this.contentBytes)
    this.moveTo(target, slab.offset)
    this.owned = true
  }

  /** Copies the content to `target[start …)` and lives there from now on. */
  private moveTo(target: Buffer, start: number): void {
    const { source, propertiesStart, propertiesEnd, bodyStart, bodyEnd } = this
    const propertiesLength = propertiesEnd - propertiesStart
    const bodyLength = bodyEnd - bodyStart
    if (propertiesEnd === bodyStart) copyRange(source, propertiesStart, bodyEnd, target, start)
    else {
      copyRange(source, propertiesStart, propertiesEnd, target, start)
      copyRange(source, bodyStart, bodyEnd, target, start + propertiesLength)
    }
    this.source = target
    this.propertiesStart = start
    this.propertiesEnd = start + propertiesLength
    this.bodyStart = this.propertiesEnd
    this.bodyEnd = this.bodyStart + bodyLength
  }
}
