/** A message as a handler or a receiver gets it. Properties are decoded when somebody looks. */
import type { PlainValue } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { copyOfBody } from './body.ts'
import { plainHeaders } from './headers.ts'

export class IncomingMessage<Data = unknown> {
  /** The body as a value: JSON is parsed, text is a string, anything else a Buffer. */
  readonly data: Data
  /** It was handed to somebody before, who may have begun with it. */
  readonly redelivered: boolean
  private readonly message: Message
  private decoded: Properties | null

  constructor(message: Message, redelivered: boolean, data: Data, properties: Properties | null) {
    this.message = message
    this.redelivered = redelivered
    this.data = data
    this.decoded = properties
  }

  /** AMQP's message-id; undefined if a plain client sent none. */
  get id(): string | undefined {
    return this.properties.messageId
  }

  get headers(): { readonly [name: string]: PlainValue } {
    return plainHeaders(this.properties.headers)
  }

  /** All of AMQP's properties, headers with their type tags. */
  get properties(): Properties {
    this.decoded ??= this.message.decodeProperties()
    return this.decoded
  }

  /** A copy of the body's bytes. */
  get body(): Buffer {
    return copyOfBody(this.message)
  }
}
