/** The connection, as its channels see it. */
import type { FrameWriter } from '../amqp/frame-writer.ts'
import type { PublishDecoder } from '../amqp/publish-decoder.ts'
import type { BodyStore } from '../model/bodies.ts'
import type { BrokerError } from '../model/errors.ts'
import type { ChannelLoad } from './channel-load.ts'
import type { HeldFrames } from './held-frames.ts'

export interface ChannelHost {
  readonly frames: FrameWriter
  readonly publishes: PublishDecoder
  readonly messageBytesMax: number
  readonly load: ChannelLoad
  /** Where large bodies are; null: there are none. */
  readonly bodies: BodyStore | null
  /** Whether the client wants to hear that a consumer was ended. */
  readonly notifiesCancels: boolean
  flush(): void
  /** The number is free again. */
  forget(number: number): void
  fail(error: BrokerError, methodId: number): void
  /** Something went wrong that should not: it costs this connection, and nothing may get through to the broker. */
  crashed(error: unknown): void
  /** Reads frames that were held back, as if they came from the socket now. */
  replay(held: HeldFrames): void
}
