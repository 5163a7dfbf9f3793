// Large bodies whose writing and reading go on when a test says so.
import type { BodySink, BodySinkEvents, BodySource, BodyStore } from '../../src/model/bodies.ts'
import { Message } from '../../src/model/message.ts'
import { emptyProperties } from '../../src/model/properties.ts'

export class FakeSink implements BodySink {
  readonly reference: Buffer
  readonly events: BodySinkEvents
  isFull = false
  isEnded = false
  isAbandoned = false
  bytes = 0

  constructor(id: number, bytes: number, events: BodySinkEvents) {
    this.reference = Message.reference(id, bytes)
    this.events = events
  }

  write(_buffer: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }

  end(): void {
    this.isEnded = true
  }

  abandon(): void {
    this.isAbandoned = true
  }
}

export class FakeSource implements BodySource {
  isClosed = false
  private readonly pieces: (Buffer | null)[] = []
  private wake: (() => void) | null = null

  /** The next piece; null: the end. */
  give(piece: Buffer | null): void {
    this.pieces.push(piece)
    this.wake?.()
  }

  async next(): Promise<Buffer | null> {
    if (this.pieces.length === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.pieces.shift() ?? null
  }

  close(): void {
    this.isClosed = true
  }
}

export class FakeBodies implements BodyStore {
  readonly inlineBytesMax = 1_000
  readonly sinks: FakeSink[] = []
  readonly sources: FakeSource[] = []
  /** How often bodies are held beyond what was let go. */
  holds = 0

  /** A message with a body of so many bytes, of which `sources` gets the reader when it is sent. */
  static message(bytes: number): Message {
    return Message.referring('', 'q', emptyProperties, Message.reference(1, bytes))
  }

  get sink(): FakeSink {
    return this.sinks.at(-1) as FakeSink
  }

  get source(): FakeSource {
    return this.sources.at(-1) as FakeSource
  }

  create(bytes: number, events: BodySinkEvents): BodySink {
    const sink = new FakeSink(this.sinks.length + 1, bytes, events)
    this.sinks.push(sink)
    return sink
  }

  open(): BodySource {
    const source = new FakeSource()
    this.sources.push(source)
    return source
  }

  retain(): void {
    this.holds++
  }

  release(): void {
    this.holds--
  }

  isDamaged(): boolean {
    return false
  }
}
