/**
 * The bus's channel for commands, one at a time: an error closes a channel, and alone in it a command takes no other one
 * down. The next command opens a new one.
 */
import type { Channel, ChannelEvents, Session } from '../model/channel.ts'
import type { Command, Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import { Replies } from './replies.ts'

export class Control implements ChannelEvents {
  private readonly session: Session
  private readonly replies = new Replies()
  private channel: Channel | null = null
  private last: Promise<unknown> = Promise.resolve()
  private ended: Error | null = null

  constructor(session: Session) {
    this.session = session
  }

  /** Rejects with the BrokerError if the command was refused. */
  execute(command: Command): Promise<Reply> {
    const run = (): Promise<Reply> => {
      if (this.ended !== null) return Promise.reject(this.ended)
      this.channel ??= this.session.openChannel(this)
      return this.replies.execute(this.channel, command)
    }
    const result = this.last.then(run, run)
    this.last = result
    // The next command asks again; this keeps a refusal that its caller handles from being reported as unhandled.
    result.catch(() => {})
    return result
  }

  /** The session is gone, or the bus is closed. */
  end(error: Error): void {
    this.ended ??= error
    this.replies.failAll(this.ended)
  }

  close(): void {
    this.end(new LeveretError('E_CLOSED', 'the bus is closed'))
    this.channel?.close()
    this.channel = null
  }

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  failed(_id: number, error: BrokerError): void {
    this.channel?.close()
    this.channel = null
    this.replies.failAll(error)
  }

  delivered(_consumerTag: string, _deliveryTag: number, _redelivered: boolean, _message: Message): void {}

  confirmed(): void {}

  returned(): void {}

  cancelled(): void {}

  flush(): void {}
}
