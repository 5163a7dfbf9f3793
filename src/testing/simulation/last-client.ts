/** The client of the last life: takes everything out of every queue, and sees that publishers are still served. */
import type { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import type { Ledger } from './ledger.ts'
import { type Trace, Violation } from './trace.ts'

export class LastClient implements ChannelEvents, SessionEvents {
  private readonly ledger: Ledger
  private readonly trace: Trace
  private channel!: Channel
  private readonly queues: string[] = []
  private publishes = 0
  private confirms = 0

  constructor(ledger: Ledger, trace: Trace) {
    this.ledger = ledger
    this.trace = trace
  }

  get isDone(): boolean {
    return this.confirms === this.publishes && this.queues.length === 0
  }

  begin(session: Session, prng: Prng, queues: readonly string[]): void {
    this.channel = session.openChannel(this)
    this.channel.execute(0, { type: 'confirm.select' })
    // A folder becomes small when something new is stored; there may be nothing else that is.
    const last = { queue: 'last', passive: false, durable: true, exclusive: false, autoDelete: false }
    this.channel.execute(0, { type: 'queue.declare', arguments: emptyTable, ...last })
    this.queues.push('last', ...queues)
    for (const queue of this.queues) {
      this.publishes++
      this.channel.publish(this.ledger.make(prng, 'last', '', queue, true, 100).message, false)
    }
    this.takeNext()
  }

  replied(_id: number, reply: Reply): void {
    if (reply.type === 'basic.get-ok') {
      this.channel.ack(reply.deliveryTag, false)
      this.takeNext()
    } else if (reply.type === 'basic.get-empty') {
      this.queues.shift()
      this.takeNext()
    }
  }

  confirmed(sequence: number): void {
    this.confirms = sequence
  }

  private takeNext(): void {
    const [queue] = this.queues
    if (queue !== undefined) this.channel.execute(0, { type: 'basic.get', queue, noAck: false })
  }

  delivered(): void {}
  returned(_message: Message): void {}
  cancelled(): void {}

  failed(_id: number, error: BrokerError): void {
    throw this.trace.violated(new Violation('liveness', `the last client was refused: ${error.message}`))
  }

  flush(): void {}
  blocked(): void {}
  unblocked(): void {}
  throttled(): void {}
  resumed(): void {}
  closed(): void {}
}
