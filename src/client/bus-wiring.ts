/** What a bus is made with. */
import type { Driver, Login } from '../model/channel.ts'
import type { LeveretError } from '../model/errors.ts'
import type { Platform } from '../platform/platform.ts'
import type { Served, ServeSettings } from './serve-options.ts'

/** What whoever makes a bus decides: which broker, and what it can do. */
export interface BusWiring {
  readonly platform: Platform
  readonly driver: Driver
  readonly login: Login
  /** See BusParts. */
  readonly commits: 'native' | 'tx'
  /** Nothing outlives the process. */
  readonly inMemory: boolean
  /** Whether the broker answers leveret.* commands; asked when the session is open. */
  readonly statistics: () => boolean
  /** The largest body the broker takes; looked at when the session is open. */
  readonly messageBytesMax: number
  /** What recovery found and did, in words for people. */
  readonly notes: readonly string[]
  /** Tells of a storage that failed for good. */
  onFailure(listener: (error: LeveretError) => void): void
  /** Tells of a message that cannot be read any more, or that a schedule could not give to anybody; everything else goes on. */
  onDamage(listener: (error: Error) => void): void
  /** Null: it is served already, by somebody else. */
  readonly serve: ((settings: ServeSettings) => Promise<Served>) | null
}
