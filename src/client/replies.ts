/** Matches a channel's replies to the commands that asked for them. One promise per command: for the control plane only. */
import type { Channel } from '../model/channel.ts'
import type { Command, Reply } from '../model/command.ts'

interface Waiting {
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
}

export class Replies {
  private readonly waiting: Map<number, Waiting> = new Map()
  private nextId = 1

  execute(channel: Channel, command: Command): Promise<Reply> {
    return this.wait((id) => channel.execute(id, command))
  }

  /** Resolves with the reply to what is asked under the number that `ask` is given. */
  wait(ask: (id: number) => void): Promise<Reply> {
    const id = this.takeId()
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      ask(id)
    })
  }

  /** A number for a command that somebody else waits for. */
  takeId(): number {
    return this.nextId++
  }

  /** False: nobody here waits for that number. */
  replied(id: number, reply: Reply): boolean {
    const waiting = this.waiting.get(id)
    if (waiting === undefined) return false
    this.waiting.delete(id)
    waiting.resolve(reply)
    return true
  }

  /** The channel is gone: no command that waits will be answered. */
  failAll(error: Error): void {
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const waiting of all) waiting.reject(error)
  }
}
