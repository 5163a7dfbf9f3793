/**
 * An AsyncAPI document from contracts: what other teams and other languages need to know, in the form that their generators
 * and viewers read. It says of each contract what docs/protocol.md says of all:
 *
 *     queue   a channel `is: queue`, published to the default exchange with the queue's name; with `result` also a reply
 *     event   a channel `is: routingKey` on the exchange amq.topic
 *     call    a channel `is: queue`, and a reply to the queue that reply_to names
 *
 * A contract is shared by both sides, and so is the document: it has an operation for each of them.
 */
import { type CallContract, type EventContract, type QueueContract, shownContract } from '../client/contract.ts'
import { eventExchange } from '../client/event-exchange.ts'
import { checkOptionNames } from '../client/names.ts'
import type { StandardSchema } from '../client/standard-schema.ts'
import type { JsonObject } from '../model/administration.ts'
import { LeveretError } from '../model/errors.ts'
import { ComponentIds } from './component-ids.ts'
import type {
  AsyncApiChannel,
  AsyncApiDocument,
  AsyncApiMessage,
  AsyncApiOperation,
  AsyncApiReply,
  AsyncApiServer,
  Reference,
} from './document.ts'
import { jsonSchemaOf } from './json-schema.ts'
import { messageHeaders, replyHeaders } from './protocol-headers.ts'
import { serverOf } from './server.ts'

export type {
  AmqpChannelBinding,
  AmqpOperationBinding,
  AsyncApiChannel,
  AsyncApiComponents,
  AsyncApiDocument,
  AsyncApiInfo,
  AsyncApiMessage,
  AsyncApiOperation,
  AsyncApiReply,
  AsyncApiServer,
  Reference,
} from './document.ts'

/** What `defineQueue`, `defineEvent` and `defineCall` give. */
export type Contract = QueueContract | EventContract | CallContract

export interface AsyncApiOptions {
  /** Of the application. Default 'Messages'. */
  readonly title?: string
  /** Of the contracts, not of AsyncAPI. Default '0.0.0'. */
  readonly version?: string
  readonly description?: string
  /** By name, the URLs that `connect` takes: `{ production: 'amqps://mq.example.com' }`. Passwords are left out. */
  readonly servers?: Readonly<Record<string, string>>
}

/** `bindingVersion` of AsyncAPI's AMQP binding. */
const bindingVersion = '0.3.0'

/**
 * The document, as plain JSON. The same contract may be given twice; two contracts of one name are E_BAD_OPTION, as is something
 * that is no contract. Throws E_BAD_URL for a server that has no amqp:// URL.
 */
export function asyncApi(contracts: readonly Contract[], options: AsyncApiOptions = {}): AsyncApiDocument {
  checkOptionNames('asyncApi', options, ['title', 'version', 'description', 'servers'])
  const { title = 'Messages', version = '0.0.0', description, servers } = options
  const draft = new Draft()
  const isList = typeof (contracts as unknown) === 'object' && contracts !== null && Symbol.iterator in contracts
  if (!isList) throw noContract(contracts)
  for (const contract of new Set(contracts)) draft.add(contract)
  return {
    asyncapi: '3.0.0',
    info: { title, version, ...(description === undefined ? {} : { description }) },
    defaultContentType: 'application/json',
    ...(servers === undefined ? {} : { servers: serversOf(servers) }),
    channels: draft.channels,
    operations: draft.operations,
    components: {
      messages: draft.messages,
      schemas: draft.schemas,
      correlationIds: {
        leveret: {
          location: '$message.header#/correlation_id',
          description: 'The AMQP property correlation_id: a reply has that of the message it answers.',
        },
      },
    },
  }
}

function serversOf(servers: Readonly<Record<string, string>>): Record<string, AsyncApiServer> {
  return Object.fromEntries(Object.entries(servers).map(([name, url]) => [name.replace(/[^\w-]/g, '_'), serverOf(url)]))
}

const pointer = {
  channel: (id: string): Reference => ({ $ref: `#/channels/${id}` }),
  channelMessage: (channel: string, message = channel): Reference => ({
    $ref: `#/channels/${channel}/messages/${message}`,
  }),
  message: (id: string): Reference => ({ $ref: `#/components/messages/${id}` }),
  schema: (id: string): Reference => ({ $ref: `#/components/schemas/${id}` }),
  correlationId: { $ref: '#/components/correlationIds/leveret' },
}

const headersOfMessages = 'leveret.message-headers'
const headersOfReplies = 'leveret.reply-headers'

type MessageExtras = Pick<AsyncApiMessage, 'headers' | 'correlationId'>

/** The document under way. */
class Draft {
  readonly channels: Record<string, AsyncApiChannel> = {}
  readonly operations: Record<string, AsyncApiOperation> = {}
  readonly messages: Record<string, AsyncApiMessage> = {}
  readonly schemas: Record<string, JsonObject> = {}
  private readonly ids = new ComponentIds([headersOfMessages, headersOfReplies])
  /** Queues and calls share AMQP's names of queues; events have names of their own. */
  private readonly addresses: Set<string> = new Set()

  add(contract: Contract): void {
    if (!isContract(contract)) throw noContract(contract)
    const { kind, name } = contract
    const address = `${kind === 'event' ? 'event' : 'queue'} ${name}`
    if (this.addresses.has(address)) throw twice(kind, name)
    this.addresses.add(address)
    const id = this.ids.take(name, kind)
    if (kind === 'queue') this.addQueue(id, contract)
    else if (kind === 'event') this.addEvent(id, contract)
    else this.addCall(id, contract)
  }

  private addQueue(id: string, { name, input, result }: QueueContract): void {
    const wantsReply = result === undefined ? {} : { correlationId: pointer.correlationId }
    this.schemas[headersOfMessages] = messageHeaders
    this.addMessage(id, name, input, { headers: pointer.schema(headersOfMessages), ...wantsReply })
    this.channels[id] = {
      address: addressOf(name),
      description: `The queue ${quoted(name)}: published to the default exchange with its name as routing key.`,
      messages: { [id]: pointer.message(id) },
      bindings: {
        amqp: { is: 'queue', queue: { name, durable: true, exclusive: false, autoDelete: false }, bindingVersion },
      },
    }
    const channel = pointer.channel(id)
    const messages = [pointer.channelMessage(id)]
    const reply =
      result === undefined ? {} : { reply: this.reply(id, name, result, 'If it is not there, nobody wants a result.') }
    this.operations[`send.${id}`] = {
      action: 'send',
      channel,
      summary: `Send to ${quoted(name)}: stored once the broker confirms it.`,
      messages,
      bindings: { amqp: { deliveryMode: 2, mandatory: true, bindingVersion } },
      ...reply,
    }
    this.operations[`process.${id}`] = {
      action: 'receive',
      channel,
      summary: `Process what comes to ${quoted(name)}: one receiver gets each message, and acknowledges it when it is done.`,
      messages,
      bindings: { amqp: { ack: true, bindingVersion } },
      ...reply,
    }
  }

  private addEvent(id: string, { name, input }: EventContract): void {
    this.addMessage(id, name, input, {})
    this.channels[id] = {
      address: addressOf(name),
      description: `The event ${quoted(name)}: published to the exchange ${eventExchange} with its name as routing key.`,
      messages: { [id]: pointer.message(id) },
      bindings: {
        amqp: {
          is: 'routingKey',
          exchange: { name: eventExchange, type: 'topic', durable: true, autoDelete: false },
          bindingVersion,
        },
      },
    }
    const channel = pointer.channel(id)
    const messages = [pointer.channelMessage(id)]
    this.operations[`emit.${id}`] = {
      action: 'send',
      channel,
      summary: `Tell everybody who listens to ${quoted(name)}.`,
      messages,
      bindings: { amqp: { deliveryMode: 2, mandatory: false, bindingVersion } },
    }
    this.operations[`on.${id}`] = {
      action: 'receive',
      channel,
      summary: `Listen to ${quoted(name)}: each listener has a queue of its own, bound with that routing key.`,
      messages,
    }
  }

  private addCall(id: string, { name, input, result, errors }: CallContract): void {
    this.addMessage(id, name, input, { correlationId: pointer.correlationId })
    this.channels[id] = {
      address: addressOf(name),
      description: `Requests of the call ${quoted(name)}: published to the default exchange with its name as routing key.`,
      messages: { [id]: pointer.message(id) },
      bindings: {
        amqp: { is: 'queue', queue: { name, durable: true, exclusive: false, autoDelete: false }, bindingVersion },
      },
    }
    const channel = pointer.channel(id)
    const messages = [pointer.channelMessage(id)]
    const reply = this.reply(id, name, result, 'Every request has it.', errors)
    this.operations[`call.${id}`] = {
      action: 'send',
      channel,
      summary: `Call ${quoted(name)} and wait for the answer.`,
      messages,
      // At most once; 2 for a durable call.
      bindings: { amqp: { deliveryMode: 1, mandatory: true, bindingVersion } },
      reply,
    }
    this.operations[`answer.${id}`] = {
      action: 'receive',
      channel,
      summary: `Answer calls of ${quoted(name)}.`,
      messages,
      reply,
    }
  }

  private addMessage(id: string, title: string, schema: StandardSchema | undefined, more: MessageExtras): void {
    const payload = pointer.schema(id)
    this.schemas[id] = jsonSchemaOf(schema, payload.$ref)
    this.messages[id] = { name: id, title, contentType: 'application/json', payload, ...more }
  }

  /** The channel where results come to: its address is in the message that asks. */
  private reply(
    id: string,
    name: string,
    schema: StandardSchema | undefined,
    when: string,
    errors: Readonly<Record<string, StandardSchema>> = {},
  ): AsyncApiReply {
    const replyId = this.ids.take(`${id}.reply`, 'reply')
    this.schemas[headersOfReplies] = replyHeaders
    this.addMessage(replyId, `result of ${name}`, schema, {
      headers: pointer.schema(headersOfReplies),
      correlationId: pointer.correlationId,
    })
    const ids = [replyId, ...Object.entries(errors).map(([error, of]) => this.addError(id, name, error, of))]
    this.channels[replyId] = {
      address: null,
      description: `Results of ${quoted(name)}: published to the default exchange with what reply_to says as routing key.`,
      messages: Object.fromEntries(ids.map((one) => [one, pointer.message(one)])),
    }
    return {
      address: {
        location: '$message.header#/reply_to',
        description: `The AMQP property reply_to: the queue that the answer is for. ${when}`,
      },
      channel: pointer.channel(replyId),
      messages: ids.map((one) => pointer.channelMessage(replyId, one)),
    }
  }

  /** A declared error of a call: its name is in the headers, its data are in the body. */
  private addError(id: string, call: string, error: string, schema: StandardSchema): string {
    const messageId = this.ids.take(`${id}.error.${error}`, 'error')
    const dataId = this.ids.take(`${messageId}.data`, 'data')
    const data = pointer.schema(dataId)
    this.schemas[dataId] = jsonSchemaOf(schema, data.$ref)
    const payload = pointer.schema(messageId)
    this.schemas[messageId] = {
      type: 'object',
      required: ['error', 'data'],
      properties: { error: { type: 'string', description: 'In words.' }, data: { $ref: data.$ref } },
    }
    this.messages[messageId] = {
      name: messageId,
      title: `error ${error} of ${call}`,
      contentType: 'application/json',
      payload,
      headers: pointer.schema(headersOfReplies),
      correlationId: pointer.correlationId,
    }
    return messageId
  }
}

/** Whether it is one, made by this copy of the library or another. */
export function isContract(value: unknown): value is Contract {
  if (typeof value !== 'object' || value === null) return false
  const { kind, name } = value as { kind?: unknown; name?: unknown }
  return (kind === 'queue' || kind === 'event' || kind === 'call') && typeof name === 'string' && 'input' in value
}

/** Braces would be a parameter in AsyncAPI; the binding names the queue then. */
function addressOf(name: string): string | null {
  return /[{}]/.test(name) ? null : name
}

function quoted(name: string): string {
  return `\`${name}\``
}

function noContract(value: unknown): LeveretError {
  return new LeveretError(
    'E_BAD_OPTION',
    `asyncApi takes contracts, and got ${shownContract(value)}: make them with defineQueue, defineEvent or defineCall`,
  )
}

function twice(kind: string, name: string): LeveretError {
  const others = kind === 'event' ? 'events' : 'queues or calls'
  return new LeveretError(
    'E_BAD_OPTION',
    `two ${others} are called '${name}', and one contract says what it carries: give one of them another name`,
  )
}
