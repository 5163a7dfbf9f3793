/**
 * Makes messages out of values. A queue has one composer, and so has an event; what all its plain messages share is encoded once:
 *
 *     flags  content-type  [delivery-mode 2]  message-id          then the body, in the same piece of the slab
 *            ^^^^^^^^^^^^^^ template ^^^^^^^^  ^ written per message
 */
import { copyRange } from '../lib/copy-range.ts'
import { Slab } from '../lib/slab.ts'
import { LeveretError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { bytesType, checkSize, encodeBody, jsonType, toJson } from './body.ts'
import { clientLimits } from './client-limits.ts'
import { type IdSource, idLength } from './ids.ts'

export interface Content {
  readonly contentType: string
  readonly body: Buffer
}

/** Where messages are published, and what errors call their data. */
export interface Address {
  readonly exchange: string
  readonly routingKey: string
  readonly what: string
}

export class Composer {
  private readonly exchange: string
  private readonly routingKey: string
  private readonly persistent: boolean
  private readonly ids: IdSource
  private readonly bodyBytesMax: number
  private readonly what: string
  private readonly jsonTemplate: Buffer
  private readonly bytesTemplate: Buffer
  private readonly slab = new Slab()

  constructor({ exchange, routingKey, what }: Address, persistent: boolean, ids: IdSource, bodyBytesMax: number) {
    this.exchange = exchange
    this.routingKey = routingKey
    this.persistent = persistent
    this.ids = ids
    this.bodyBytesMax = bodyBytesMax
    this.what = what
    this.jsonTemplate = plainTemplate(jsonType, persistent)
    this.bytesTemplate = plainTemplate(bytesType, persistent)
  }

  /** A message with nothing but its id; `ids` stands at that id afterwards. Throws E_BAD_DATA. */
  plain(value: unknown): Message {
    if (value instanceof Uint8Array) {
      const message = this.start(this.bytesTemplate, value.byteLength)
      message.source.set(value, message.bodyStart)
      return message
    }
    const text = toJson(value, this.what)
    const message = this.start(this.jsonTemplate, Buffer.byteLength(text))
    message.source.write(text, message.bodyStart, message.bodyBytes, 'utf8')
    return message
  }

  /** The body for `rich`. Throws E_BAD_DATA. */
  encode(value: unknown, contentType: string | undefined): Content {
    const encoded = encodeBody(value, contentType, this.what)
    const body = typeof encoded.body === 'string' ? Buffer.from(encoded.body) : encoded.body
    checkSize(body.length, this.bodyBytesMax, this.what)
    return { contentType: encoded.contentType, body }
  }

  /** A message with more properties than an id. */
  rich(content: Content, id: string, properties: Properties): Message {
    const all: Properties = { ...properties, contentType: content.contentType, messageId: id }
    if (this.persistent) all.deliveryMode = 2
    return Message.of(this.exchange, this.routingKey, encodeProperties(all), content.body)
  }

  /** As `rich`, for what users gave. Throws E_BAD_OPTION if its properties are too large for a connection. */
  richChecked(content: Content, id: string, properties: Properties): Message {
    const message = this.rich(content, id, properties)
    const bytes = message.propertiesEnd - message.propertiesStart
    const { propertiesBytesMax } = clientLimits
    if (bytes <= propertiesBytesMax) return message
    const text = `${this.what}: headers and other properties have ${bytes} bytes, at most ${propertiesBytesMax} fit`
    throw new LeveretError('E_BAD_OPTION', `${text}: put what is large into the data`)
  }

  private start(template: Buffer, bodyBytes: number): Message {
    checkSize(bodyBytes, this.bodyBytesMax, this.what)
    const propertiesBytes = template.length + idLength
    const bytes = propertiesBytes + bodyBytes
    const target = this.slab.take(bytes)
    const at = this.slab.offset
    copyRange(template, 0, template.length, target, at)
    this.ids.advance()
    this.ids.writeTo(target, at + template.length)
    const bodyStart = at + propertiesBytes
    const owned = bytes === target.length
    return new Message(this.exchange, this.routingKey, target, at, bodyStart, bodyStart, at + bytes, owned)
  }
}

/** The property bytes of a plain message, up to where its id begins. */
function plainTemplate(contentType: string, persistent: boolean): Buffer {
  const properties: Properties = { contentType, messageId: 'i'.repeat(idLength) }
  if (persistent) properties.deliveryMode = 2
  const bytes = encodeProperties(properties)
  return bytes.subarray(0, bytes.length - idLength)
}

const plainJson: readonly Buffer[] = [plainTemplate(jsonType, true), plainTemplate(jsonType, false)]

/**
 * Whether the message is one that `plain` makes of JSON: no headers, nobody to answer. A worker then has no property to
 * decode, and most messages are such.
 */
export function isPlainJson(message: Message): boolean {
  const { source, propertiesStart } = message
  const template = plainJson[message.persistent ? 0 : 1] as Buffer
  if (message.propertiesEnd - propertiesStart !== template.length + idLength) return false
  for (let at = 0; at < template.length; at++) if (source[propertiesStart + at] !== template[at]) return false
  return true
}
