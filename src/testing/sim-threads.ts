/** Threads without threads: their programs run in this one, in virtual time, and messages are copied as between real ones. */
import { runInThread } from '../client/handler-thread.ts'
import type { Clock } from '../platform/clock.ts'
import type { Thread, ThreadEvents, ThreadPort, Threads } from '../platform/threads.ts'

export class SimThreads implements Threads {
  readonly parallelism = 2
  /** Those that have not ended, in the order in which they were started. */
  readonly running: SimThread[] = []
  private readonly clock: Clock
  private readonly during: (work: Promise<void>) => Promise<void>

  /** `during`: what is under way while no virtual time goes by, for a file is loaded from the real disk. */
  constructor(clock: Clock, during: (work: Promise<void>) => Promise<void>) {
    this.clock = clock
    this.during = during
  }

  start(_program: URL, data: unknown, events: ThreadEvents): Thread {
    const thread = new SimThread(this.clock, events, () => {
      const at = this.running.indexOf(thread)
      if (at !== -1) this.running.splice(at, 1)
    })
    this.running.push(thread)
    // The one program there is.
    void this.during(runInThread(thread.inside, structuredClone(data)))
    return thread
  }
}

export class SimThread implements Thread {
  /** The end of the line that the program has. */
  readonly inside: ThreadPort
  private readonly clock: Clock
  private readonly events: ThreadEvents
  private readonly forget: () => void
  private readonly arrived: unknown[] = []
  private received: ((message: unknown) => void) | null = null
  private hasEnded = false

  constructor(clock: Clock, events: ThreadEvents, forget: () => void) {
    this.clock = clock
    this.events = events
    this.forget = forget
    this.inside = {
      post: (message) => this.later(structuredClone(message), (copy) => this.events.received(copy)),
      listen: (received) => {
        this.received = received
        for (const message of this.arrived.splice(0)) received(message)
      },
    }
  }

  post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.later(structuredClone(message, { transfer: [...transfer] }), (copy) => {
      if (this.received === null) this.arrived.push(copy)
      else this.received(copy)
    })
  }

  async terminate(): Promise<void> {
    this.die(new Error('it was terminated'))
  }

  /** It ends, as by process.exit or for want of memory; what its handlers do from here on nobody sees. */
  die(reason: Error): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.forget()
    this.events.ended(reason)
  }

  private later(message: unknown, deliver: (message: unknown) => void): void {
    this.clock.defer(() => {
      if (!this.hasEnded) deliver(message)
    })
  }
}
