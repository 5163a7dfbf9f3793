/** Everything about emitting one event: published to `amq.topic`, which every broker has, with its name as routing key. */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { BusParts } from './bus-parts.ts'
import { Composer } from './composer.ts'
import type { EventContract } from './contract.ts'
import { eventExchange } from './event-exchange.ts'
import { capture, type Outgoing, SingleSend } from './pending-send.ts'
import { type EmitOptions, emitProperties } from './send-options.ts'
import { PlainSent, type Sent } from './sent.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

export class EventOutlet {
  private readonly what: string
  private readonly parts: BusParts
  readonly contract: EventContract
  private readonly composer: Composer

  constructor(parts: BusParts, contract: EventContract) {
    const { name } = contract
    this.what = `event '${name}'`
    this.parts = parts
    this.contract = contract
    const address = { exchange: eventExchange, routingKey: name, what: `the data for ${this.what}` }
    this.composer = new Composer(address, true, parts.ids, parts.messageBytesMax)
  }

  /** Resolves when it is stored for every durable subscriber there is. An event that nobody listens to is no error. */
  emit(data: unknown, options: EmitOptions | undefined): Promise<Sent> {
    try {
      const checked = this.check(data)
      if (checked instanceof Promise) return checked.then(() => this.send(this.prepare(data, options), options?.signal))
      return this.send(this.prepare(data, options), options?.signal)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** For whoever stores it together with something else. Throws E_BAD_DATA, E_BAD_OPTION, E_UNSUPPORTED. */
  prepareNow(data: unknown, options: EmitOptions | undefined): Outgoing {
    const checked = this.check(data)
    if (!(checked instanceof Promise)) return this.prepare(data, options)
    checked.catch(() => {})
    throw new LeveretError(
      'E_UNSUPPORTED',
      `${this.what} has an asynchronous schema, and context.emit cannot wait for it: use a synchronous one`,
    )
  }

  /** The message for these data, sent by somebody else. Throws or rejects with E_BAD_DATA, E_BAD_OPTION. */
  async compose(data: unknown, options: EmitOptions | undefined): Promise<Message> {
    await this.check(data)
    return this.prepare(data, options).message as Message
  }

  private send({ message, sent, bytes }: Outgoing, signal: AbortSignal | undefined): Promise<Sent> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    const promise = new Promise<Sent>(capture)
    const pending = new SingleSend(this.what, bytes, sent, null)
    const { sender } = this.parts
    sender.publish(message, false, pending)
    return signal === undefined ? promise : sender.withdrawable(promise, pending, signal)
  }

  private prepare(data: unknown, options: EmitOptions | undefined): Outgoing {
    const { ids } = this.parts
    let message: Message
    if (options === undefined) message = this.composer.plain(data)
    else {
      const properties = emitProperties(`emitting ${this.what}`, options)
      const content = this.composer.encode(data, options.contentType)
      ids.advance()
      message = this.composer.richChecked(content, ids.text(), properties)
    }
    return { sent: new PlainSent(ids.prefix, ids.counter), receipt: null, message, bytes: message.contentBytes }
  }

  private check(data: unknown): unknown {
    const schema = this.contract.input as StandardSchema | undefined
    return schema === undefined ? undefined : validate(schema, data, `the data for ${this.what}`)
  }
}
