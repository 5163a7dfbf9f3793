/**
 * An AsyncAPI document, version 3.0.0, as far as contracts need it (https://www.asyncapi.com/docs/reference/specification/v3.0.0):
 *
 *     servers      where                        channels     queues and events, and where replies come to
 *     operations   who sends and who receives   components   messages and what is in them
 *
 * 3.1.0 differs from it in one binding that is none of ours, and fewer tools read it.
 */
import type { JsonObject } from '../model/administration.ts'

export interface Reference {
  readonly $ref: string
}

export interface AsyncApiDocument {
  readonly asyncapi: '3.0.0'
  readonly info: AsyncApiInfo
  readonly defaultContentType: 'application/json'
  readonly servers?: Readonly<Record<string, AsyncApiServer>>
  readonly channels: Readonly<Record<string, AsyncApiChannel>>
  readonly operations: Readonly<Record<string, AsyncApiOperation>>
  readonly components: AsyncApiComponents
}

export interface AsyncApiInfo {
  readonly title: string
  readonly version: string
  readonly description?: string
}

export interface AsyncApiServer {
  /** With the port. */
  readonly host: string
  /** The virtual host; not there for `/`. */
  readonly pathname?: string
  readonly protocol: 'amqp' | 'amqps'
  readonly protocolVersion: '0-9-1'
}

export interface AsyncApiChannel {
  /** The routing key; null where it is known at run time alone, or cannot be written as an address. */
  readonly address: string | null
  readonly description: string
  readonly messages: Readonly<Record<string, Reference>>
  readonly bindings?: { readonly amqp: AmqpChannelBinding }
}

export type AmqpChannelBinding =
  | {
      readonly is: 'queue'
      readonly queue: {
        readonly name: string
        readonly durable?: boolean
        readonly exclusive?: boolean
        readonly autoDelete?: boolean
      }
      readonly bindingVersion: '0.3.0'
    }
  | {
      readonly is: 'routingKey'
      readonly exchange: {
        readonly name: string
        readonly type: 'topic'
        readonly durable: boolean
        readonly autoDelete: boolean
      }
      readonly bindingVersion: '0.3.0'
    }

export interface AsyncApiOperation {
  readonly action: 'send' | 'receive'
  readonly channel: Reference
  readonly summary: string
  readonly messages: readonly Reference[]
  readonly bindings?: { readonly amqp: AmqpOperationBinding }
  readonly reply?: AsyncApiReply
}

export interface AmqpOperationBinding {
  readonly deliveryMode?: 1 | 2
  readonly mandatory?: boolean
  readonly ack?: boolean
  readonly bindingVersion: '0.3.0'
}

export interface AsyncApiReply {
  readonly address: { readonly location: string; readonly description: string }
  readonly channel: Reference
  readonly messages: readonly Reference[]
}

export interface AsyncApiMessage {
  readonly name: string
  readonly title: string
  readonly contentType: 'application/json'
  readonly headers?: Reference
  readonly payload: Reference
  readonly correlationId?: Reference
}

export interface AsyncApiComponents {
  readonly messages: Readonly<Record<string, AsyncApiMessage>>
  /** JSON Schema, draft 07. */
  readonly schemas: Readonly<Record<string, JsonObject>>
  readonly correlationIds: Readonly<Record<string, { readonly location: string; readonly description: string }>>
}
