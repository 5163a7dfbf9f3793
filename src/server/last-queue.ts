/**
 * "The queue declared last on this channel": in most methods an empty queue name means it.
 *
 * A declare without a name has none until the broker has answered; a command that needs it has to wait so long.
 * Where names are declared, bound and deleted they lose their line ends on the way, as in RabbitMQ.
 */
import type { Command } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'

export class LastQueue {
  private name = ''
  /** The declare whose answer will bring the name; 0 if none is on its way. */
  private awaitedId = 0

  get isAwaited(): boolean {
    return this.awaitedId !== 0
  }

  mustWaitFor(command: Command): boolean {
    return this.isAwaited && usesShorthand(command)
  }

  executing(id: number, command: Command): void {
    if (command.type !== 'queue.declare') return
    this.name = command.queue
    this.awaitedId = command.queue === '' ? id : 0
  }

  declared(id: number, queue: string): void {
    if (id !== this.awaitedId) return
    this.name = queue
    this.awaitedId = 0
  }

  /** The command with its names as the broker shall see them. Throws NOT_FOUND if it means a queue and there is none. */
  completed(command: Command): Command {
    switch (command.type) {
      case 'exchange.declare':
      case 'exchange.delete':
        return { ...command, exchange: oneLine(command.exchange) }
      case 'exchange.bind':
      case 'exchange.unbind':
        return { ...command, destination: oneLine(command.destination), exchange: oneLine(command.exchange) }
      case 'queue.declare':
        return { ...command, queue: oneLine(command.queue) }
      case 'queue.bind':
      case 'queue.unbind': {
        const destination = oneLine(this.expand(command.destination))
        // With neither queue nor key both are the queue's name: the way to bind a queue to a direct exchange.
        const isBare = command.destination === '' && command.routingKey === ''
        const routingKey = isBare ? destination : command.routingKey
        return { ...command, destination, exchange: oneLine(command.exchange), routingKey }
      }
      case 'queue.delete':
        return { ...command, queue: oneLine(this.expand(command.queue)) }
      case 'queue.purge':
      case 'basic.consume':
      case 'basic.get':
        return { ...command, queue: this.expand(command.queue) }
      default:
        return command
    }
  }

  private expand(queue: string): string {
    if (queue !== '') return queue
    if (this.name === '') throw new BrokerError('NOT_FOUND', 'no previously declared queue')
    return this.name
  }
}

function usesShorthand(command: Command): boolean {
  switch (command.type) {
    case 'queue.bind':
    case 'queue.unbind':
      return command.destination === ''
    case 'queue.purge':
    case 'queue.delete':
    case 'basic.consume':
    case 'basic.get':
      return command.queue === ''
    default:
      return false
  }
}

function oneLine(name: string): string {
  return name.includes('\n') || name.includes('\r') ? name.replace(/[\r\n]/g, '') : name
}
