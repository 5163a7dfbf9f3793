/** The client of the last life: takes everything out of every queue, and sees that publishers are still served. */
import type { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import type { BrokerError } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import type { Ledger, Made } from './ledger.ts'
import { type Trace, Violation } from './trace.ts'

const publishCount = 12

export class LastClient implements ChannelEvents, SessionEvents {
  private readonly ledger: Ledger
  private readonly trace: Trace
  private channel!: Channel
  private readonly queues: string[] = []
  /** To be deleted when everything is stored. */
  private readonly doomed: string[] = []
  private readonly unsent: Made[] = []
  private isStored = false

  constructor(ledger: Ledger, trace: Trace) {
    this.ledger = ledger
    this.trace = trace
  }

  get isDone(): boolean {
    return this.isStored && this.queues.length + this.doomed.length === 0
  }

  /** Fills some segments, frame by frame, then empties the queues: by taking everything out, or by deleting them. */
  begin(session: Session, prng: Prng, names: readonly string[], segmentBytesMax: number): void {
    this.channel = session.openChannel(this)
    this.channel.execute(0, { type: 'confirm.select' })
    const last = { queue: 'last', passive: false, durable: true, exclusive: false, autoDelete: false }
    this.channel.execute(0, { type: 'queue.declare', arguments: emptyTable, ...last })
    const queues = ['last', ...names]
    for (let count = 0; count < publishCount; count++) {
      const queue = queues[count % queues.length] as string
      this.unsent.push(this.ledger.make(prng, 'last', '', queue, true, Math.ceil(segmentBytesMax / 4)))
    }
    for (const queue of queues) (prng.chance(0.7) ? this.queues : this.doomed).push(queue)
    this.publishNext()
  }

  replied(_id: number, reply: Reply): void {
    if (reply.type === 'basic.get-ok') {
      this.channel.ack(reply.deliveryTag, false)
      this.takeNext()
    } else if (reply.type === 'basic.get-empty') {
      this.queues.shift()
      this.takeNext()
    } else if (reply.type === 'queue.delete-ok') this.doomed.shift()
  }

  confirmed(): void {
    if (this.unsent.length > 0) return this.publishNext()
    this.isStored = true
    for (const queue of this.doomed) {
      this.channel.execute(0, { type: 'queue.delete', queue, ifUnused: false, ifEmpty: false })
    }
    this.takeNext()
  }

  private publishNext(): void {
    const made = this.unsent.shift()
    if (made !== undefined) this.channel.publish(made.message, false)
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
