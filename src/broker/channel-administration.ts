/** What administrators ask on a channel, and what is asked of schedules: done at once, or when what it needs is there, and answered in the channel's one order. */
import { BrokerError } from '../model/errors.ts'
import { authorize } from './authorize.ts'
import type { DeferrableCommand } from './deferrable-commands.ts'
import type { Grants } from './grants.ts'
import { Later, type Outbox } from './outbox.ts'
import type { BrokerParts } from './parts.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The channel. */
export interface AdministeredChannel {
  readonly closed: boolean
  /** It closes, for a reason that is told in its place. */
  failLate(): void
  /** There is something to say. */
  said(): void
}

export class ChannelAdministration {
  private readonly parts: BrokerParts
  private readonly session: { readonly virtualHost: VirtualHost; readonly grants: Grants | null }
  private readonly outbox: Outbox
  private readonly channel: AdministeredChannel

  constructor(
    parts: BrokerParts,
    session: { readonly virtualHost: VirtualHost; readonly grants: Grants | null },
    outbox: Outbox,
    channel: AdministeredChannel,
  ) {
    this.parts = parts
    this.session = session
    this.outbox = outbox
    this.channel = channel
  }

  /** Throws what is wrong with the command now. */
  administer(id: number, command: DeferrableCommand): void {
    const ready = this.parts.deferrable.ready(command)
    const later = new Later(id)
    if (ready === null) this.run(later, command)
    if (this.channel.closed) return
    this.outbox.later(later)
    if (ready === null) return
    ready.then(
      () => this.runLate(later, command),
      (error: unknown) => this.failLate(later, error),
    )
  }

  /** What it waited for is there. */
  private runLate(later: Later, command: DeferrableCommand): void {
    if (this.channel.closed) return this.leave(later)
    try {
      authorize(this.session.grants, this.session.virtualHost, command)
      this.run(later, command)
      this.channel.said()
    } catch (error) {
      this.failLate(later, error)
    }
  }

  private run(later: Later, command: DeferrableCommand): void {
    const { deferrable, store, tick } = this.parts
    const { virtualHost, grants } = this.session
    later.reply = deferrable.run(virtualHost, grants, command)
    later.lsn = store.barrier()
    // The command may have ended this very session, and is to be stored all the same.
    tick.schedule()
  }

  private failLate(later: Later, error: unknown): void {
    if (this.channel.closed) return this.leave(later)
    this.channel.failLate()
    later.error = error instanceof BrokerError ? error : new BrokerError('INTERNAL_ERROR', String(error))
    this.channel.said()
  }

  /** Nothing is done; what waits behind it to be said can be said. */
  private leave(later: Later): void {
    later.isVoid = true
    this.channel.said()
  }
}
