// A driver that does nothing by itself: it writes down what a client asks for, and the test answers for the broker.
import type { Channel, ChannelEvents, Driver, Session, SessionEvents } from '../../src/model/channel.ts'
import type { Command } from '../../src/model/command.ts'
import type { Message } from '../../src/model/message.ts'

export class ScriptedDriver implements Driver {
  readonly channels: ScriptedChannel[] = []
  events: SessionEvents | null = null

  async authenticate(): Promise<void> {}

  async openSession(_login: unknown, events: SessionEvents): Promise<Session> {
    this.events = events
    return {
      openChannel: (channelEvents) => {
        const channel = new ScriptedChannel(channelEvents)
        this.channels.push(channel)
        return channel
      },
      close: async () => {},
    }
  }

  async close(): Promise<void> {}
}

export class ScriptedChannel implements Channel {
  readonly events: ChannelEvents
  readonly commands: { readonly id: number; readonly command: Command }[] = []
  readonly published: Message[] = []
  readonly acked: number[] = []
  readonly rejected: { readonly tag: number; readonly requeue: boolean }[] = []
  readonly commits: {
    readonly id: number
    readonly acks: readonly number[]
    readonly publishes: readonly Message[]
  }[] = []
  isClosed = false
  /** What publish answers instead of a number: the channel has just failed. */
  isFailing = false

  constructor(events: ChannelEvents) {
    this.events = events
  }

  execute(id: number, command: Command): void {
    this.commands.push({ id, command })
  }

  publish(message: Message, _mandatory: boolean): number {
    if (this.isFailing) return 0
    this.published.push(message)
    return this.published.length
  }

  ack(tag: number): void {
    this.acked.push(tag)
  }

  reject(tag: number, _multiple: boolean, requeue: boolean): void {
    this.rejected.push({ tag, requeue })
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    this.commits.push({ id, acks, publishes })
  }

  pauseDeliveries(): void {}

  resumeDeliveries(): void {}

  close(): void {
    this.isClosed = true
  }

  /** Answers the newest command of that type with ok. */
  answer(type: Command['type']): void {
    const found = this.commands.findLast(({ command }) => command.type === type)
    if (found === undefined) throw new Error(`nobody asked for ${type}`)
    this.events.replied(found.id, { type: 'ok' })
    this.events.flush()
  }
}
