/**
 * Questions AMQP has no method for, asked of a Leveret in messages: a request to the exchange `leveret.control`, and its
 * answer in a queue of our own. All channels of a session share the one that carries them; it is opened by the first
 * question, and by the next one after something went wrong with it.
 */
import type { Channel, ChannelEvents, Session } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import { fieldsBody } from '../../model/command-fields.ts'
import { controlExchange, controlPrefix, queuesKey } from '../../model/control-exchange.ts'
import { BrokerError } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties } from '../../model/properties.ts'
import { readAnswer } from './broker-answer.ts'

/** Who asked. */
interface Asker {
  told(id: number, reply: Reply): void
  refuse(id: number, error: BrokerError): void
}

interface Question {
  readonly asker: Asker
  readonly id: number
  /** The routing key that says what is asked, and what about. */
  readonly key: string
  readonly body: Buffer
}

export class BrokerQuestions implements ChannelEvents {
  private readonly session: Pick<Session, 'openChannel'>
  private channel: Channel | null = null
  /** The queue answers come to; empty until there is one. */
  private address = ''
  /** By correlation id, in the order they were asked. */
  private readonly open: Map<string, Question> = new Map()
  private lastCorrelation = 0

  constructor(session: Pick<Session, 'openChannel'>) {
    this.session = session
  }

  /** Answered with `told` or `refuse`, never inside this call. */
  ask(asker: Asker, id: number, command: Command): void {
    const key = command.type.slice(controlPrefix.length)
    const body = key === queuesKey ? Buffer.alloc(0) : fieldsBody(command)
    const question = { asker, id, key, body }
    try {
      this.channel ??= this.openChannel()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return asker.refuse(id, error)
    }
    const correlationId = String(++this.lastCorrelation)
    this.open.set(correlationId, question)
    if (this.address !== '') this.send(this.channel, correlationId, question)
  }

  private openChannel(): Channel {
    const channel = this.session.openChannel(this)
    const flags = { passive: false, durable: false, exclusive: true, autoDelete: true }
    channel.execute(1, { type: 'queue.declare', queue: '', ...flags, arguments: emptyTable })
    return channel
  }

  private send(channel: Channel, correlationId: string, { key, body }: Question): void {
    const properties = encodeProperties({ replyTo: this.address, correlationId })
    // Mandatory: a request that cannot be answered comes back, and nobody waits for ever.
    channel.publish(Message.of(controlExchange, key, properties, body), true)
  }

  /** Everybody who waits is told, and the next question begins anew. */
  private fail(error: BrokerError): void {
    this.channel?.close()
    this.channel = null
    this.address = ''
    const questions = [...this.open.values()]
    this.open.clear()
    for (const { asker, id } of questions) asker.refuse(id, error)
  }

  private take(message: Message): Question | undefined {
    const { correlationId = '' } = message.decodeProperties()
    const question = this.open.get(correlationId)
    this.open.delete(correlationId)
    return question
  }

  // What the broker says.

  replied(_id: number, reply: Reply): void {
    const { channel } = this
    if (reply.type !== 'queue.declare-ok' || channel === null) return
    this.address = reply.queue
    const flags = { consumerTag: '', noAck: true, exclusive: true }
    channel.execute(2, { type: 'basic.consume', queue: reply.queue, ...flags, arguments: emptyTable })
    for (const [correlationId, question] of this.open) this.send(channel, correlationId, question)
  }

  delivered(_consumerTag: string, _deliveryTag: number, _redelivered: boolean, message: Message): void {
    const question = this.take(message)
    if (question === undefined) return
    const answer = readAnswer(message, this.address)
    if (answer instanceof BrokerError) question.asker.refuse(question.id, answer)
    else question.asker.told(question.id, answer)
  }

  returned(message: Message): void {
    const question = this.take(message)
    const error = new BrokerError('NOT_FOUND', `the queue for the answer of '${message.routingKey}' is gone`)
    question?.asker.refuse(question.id, error)
  }

  cancelled(): void {
    this.fail(new BrokerError('NOT_FOUND', `the queue for answers, '${this.address}', is gone`))
  }

  failed(_id: number, error: BrokerError): void {
    this.fail(error)
  }

  confirmed(): void {}

  flush(): void {}
}
