/** Events: each photo that is done is told to everybody who listens, with the commit of its handler; so is one that failed. */
import { type Bus, type CommitContext, defineEvent } from '../../index.ts'
import type { EventFigures } from './state.ts'

interface AboutPhoto {
  readonly file: string
  readonly what: 'resized' | 'failed'
}

const resized = defineEvent<AboutPhoto>('demo.photo.resized')
const failed = defineEvent<AboutPhoto>('demo.photo.failed')

interface Listener {
  readonly name: string
  readonly pattern: string
  heard: number
  last: string
}

export class PhotoEvents {
  private readonly bus: Bus
  private emitted = 0
  private readonly listeners: readonly Listener[] = [
    { name: 'gallery', pattern: resized.name, heard: 0, last: '' },
    { name: 'audit', pattern: 'demo.photo.*', heard: 0, last: '' },
  ]

  static async open(bus: Bus): Promise<PhotoEvents> {
    const events = new PhotoEvents(bus)
    for (const listener of events.listeners) {
      await bus.on(listener.pattern, ({ data }) => {
        const { file, what } = data as AboutPhoto
        listener.heard++
        listener.last = `${file} ${what}`
      })
    }
    return events
  }

  private constructor(bus: Bus) {
    this.bus = bus
  }

  /** Stored together with the acknowledgement, or not at all. */
  resized(context: CommitContext, file: string): void {
    context.emit(resized, { file, what: 'resized' })
    this.emitted++
  }

  failed(file: string): void {
    this.emitted++
    // A bus that is closed meanwhile refuses it.
    this.bus.emit(failed, { file, what: 'failed' }).catch(() => {})
  }

  /** Whether all that was emitted has been heard, by the one who hears all. */
  get isDone(): boolean {
    return this.listeners.some(({ heard }) => heard >= this.emitted)
  }

  figures(): EventFigures {
    const { emitted, listeners } = this
    return { emitted, listeners: listeners.map((listener) => ({ ...listener })) }
  }
}
