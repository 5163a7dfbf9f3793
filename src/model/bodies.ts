/**
 * Bodies that are too large to be held in memory: they go to a file of their own while they arrive, and are read from it in
 * pieces. A message with such a body has a reference in its place (see message.ts).
 */
import type { Message } from './message.ts'

export interface BodyStore {
  /** Larger bodies go here. */
  readonly inlineBytesMax: number
  /** A place for a body of so many bytes, held until `release`. */
  create(bytes: number, events: BodySinkEvents): BodySink
  /** Reads the body of a message that refers to one; it stays there until the source is closed. */
  open(message: Message): BodySource
  /** Somebody needs the body until `release`, whatever becomes of the message. */
  retain(message: Message): void
  /** Whoever made the body has published the message, or will not: it stays as long as a queue has the message. */
  release(message: Message): void
  /** Whether it was found that the body cannot be read. */
  isDamaged(message: Message): boolean
}

/** A body on its way in. */
export interface BodySink {
  /** What stands in the message instead of its body. */
  readonly reference: Buffer
  /** So much waits to be written that nothing more should come until `drained`. */
  readonly isFull: boolean
  /** Takes `buffer[start, end)`; what is in it is copied. */
  write(buffer: Buffer, start: number, end: number): void
  /** All of it has come. `stored` is told when it is on stable storage. */
  end(): void
  /** It will not be needed; nothing more is told. */
  abandon(): void
}

export interface BodySinkEvents {
  /** It is not full any more. */
  drained(): void
  stored(): void
}

export interface BodySource {
  /** The next piece, valid until the next call; null at the end. Rejects if the body is damaged. */
  next(): Promise<Buffer | null>
  close(): void
}
