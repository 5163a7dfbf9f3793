/**
 * The bodies that are in files: making, reading and removing them. A file goes when no queue has a message with that body
 * any more, what says so is durable, and nobody holds it: whoever is about to publish it, or reads it. Files that nothing
 * refers to when the folder is opened are of publishes that never were.
 */
import { storageCorrupt } from '../log/log-error.ts'
import type { BodySink, BodySinkEvents, BodySource, BodyStore } from '../model/bodies.ts'
import type { Message } from '../model/message.ts'
import type { Platform } from '../platform/platform.ts'
import { type BodyDamage, type BodyOwner, BodyReader, BodyWriter, bodyIdIn, bodyName } from './body-file.ts'
import { BodyRefs } from './body-refs.ts'
import type { Leftovers } from './leftovers.ts'

export interface BodiesOptions {
  /** Larger bodies go to files. */
  readonly bodyInlineBytesMax: number
  readonly bodyChunkBytes: number
}

/** The store whose bodies these are. */
export interface BodiesOwner {
  readonly openLsn: number
  readonly durableLsn: number
  broken(detail: string, error: unknown): void
  /** There is less room on the disk than before, or perhaps none. */
  bodiesWrote(): void
  bodiesStalled(): void
  /** For the time being nobody gets the message. */
  bodyDamaged(damage: BodyDamage): void
}

/** A body whose file is to be removed when that frame is durable. */
interface DyingBody {
  readonly id: number
  readonly lsn: number
}

/** What salvage goes on without. */
export interface MissingBodies {
  /** In words for people. */
  readonly notes: readonly string[]
  /** The sequences of a queue's messages whose bodies are not there, as start, end, start, end … */
  goneOf(queueId: number): number[]
}

export class Bodies implements BodyStore, BodyOwner {
  readonly refs: BodyRefs
  /** How much was ever written. */
  landedBytes = 0
  private readonly platform: Platform
  private readonly directory: string
  private readonly options: BodiesOptions
  private readonly owner: BodiesOwner
  private readonly holds = new Map<number, number>()
  private readonly writers = new Set<BodyWriter>()
  private readonly damaged = new Set<number>()
  /** In the order of their frames. */
  private readonly dying: DyingBody[] = []
  /** What recovery reads is gone or not when all is read. */
  private isLoaded = false
  /** Whether what lives before left in the folder is gone: from then on each file there is one of this life. */
  private isCleared = false
  /** The folder is there, without what lives before left in it. */
  private made: Promise<void> | null = null
  private readonly removals = new Set<Promise<void>>()
  /** Bodies of which no message is left, which somebody holds, and the frame that says so. */
  private readonly waiting = new Map<number, number>()
  /** Set when nothing more is to come. */
  private stopped: (() => void) | null = null

  constructor(platform: Platform, directory: string, options: BodiesOptions, owner: BodiesOwner) {
    this.platform = platform
    this.directory = directory
    this.options = options
    this.owner = owner
    this.refs = new BodyRefs(
      () => (this.isLoaded ? owner.openLsn : 0),
      (id, lsn) => this.unreferenced(id, lsn),
    )
  }

  get inlineBytesMax(): number {
    return this.options.bodyInlineBytesMax
  }

  /** Salvage, when the log was read: forgets the messages whose bodies have no file. */
  async findMissing(): Promise<MissingBodies> {
    const there = await this.filesThere()
    const missing = this.refs.logged().filter(({ bodyId }) => !there.has(bodyId))
    for (const { queueId, sequence } of missing) this.refs.settled(queueId, [sequence, sequence])
    return {
      notes: missing.map(({ queueId, sequence, bodyId }) => {
        const what = `message ${sequence} of queue number ${queueId}`
        return `${this.pathOf(bodyId)}: the file is missing, and with it the body of ${what}, which was left out`
      }),
      goneOf: (queueId) => missing.flatMap((one) => (one.queueId === queueId ? [one.sequence, one.sequence] : [])),
    }
  }

  /** Recovery is done: what is there, what should be, and what should not. */
  async load(leftovers: Leftovers): Promise<void> {
    const { refs, directory } = this
    this.isLoaded = true
    // Else nobody has looked, and whoever makes the first one does.
    const isKnown = refs.nextId > 1
    const there = await this.filesThere()
    // Before anything goes: who is refused finds what there was.
    for (const { bodyId, sequence } of refs.logged()) {
      if (there.has(bodyId)) continue
      throw storageCorrupt(this.pathOf(bodyId), 0, `the file is missing, and with it the body of message ${sequence}`)
    }
    for (const [id, name] of there) {
      refs.nextId = Math.max(refs.nextId, id + 1)
      if (!refs.has(id)) await leftovers.take(directory, name)
    }
    this.isCleared = isKnown
  }

  /** Nothing more comes: resolves when no file is being written or removed. */
  async end(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.stopped = resolve
    })
    for (const writer of this.writers) writer.abandon()
    if (this.writers.size > 0) await stopped
    await Promise.all(this.removals)
  }

  create(bytes: number, events: BodySinkEvents): BodySink {
    const id = this.refs.nextId++
    this.hold(id)
    const { bodyChunkBytes } = this.options
    const writer = new BodyWriter(this.platform, this.pathOf(id), id, bytes, bodyChunkBytes, events, this)
    this.writers.add(writer)
    return writer
  }

  open(message: Message): BodySource {
    const id = message.bodyId
    this.hold(id)
    const path = this.pathOf(id)
    return new BodyReader(this.platform, path, id, message.bodyBytes, {
      damaged: (damage) => {
        // Whoever closes the folder takes the file from under its reader.
        if (this.stopped !== null || this.damaged.has(id)) return
        this.damaged.add(id)
        this.owner.bodyDamaged(damage)
      },
      closed: () => this.unhold(id),
    })
  }

  retain(message: Message): void {
    this.hold(message.bodyId)
  }

  release(message: Message): void {
    this.unhold(message.bodyId)
  }

  isDamaged(message: Message): boolean {
    return this.damaged.has(message.bodyId)
  }

  /** Every frame up to this one is durable. */
  durable(lsn: number): void {
    const { dying } = this
    while (dying.length > 0 && (dying[0] as DyingBody).lsn <= lsn) this.remove((dying.shift() as DyingBody).id)
  }

  // What the writers tell.

  stalled(): void {
    this.owner.bodiesStalled()
  }

  folderMade(): Promise<void> {
    this.made ??= this.makeFolder().catch((error: unknown) => {
      this.made = null
      throw error
    })
    return this.made
  }

  syncFailed(error: unknown): void {
    this.owner.broken('syncing a body failed', error)
  }

  settled(writer: BodyWriter, isThere: boolean): void {
    this.writers.delete(writer)
    if (!isThere) this.holds.delete(writer.id)
    if (this.writers.size === 0) this.stopped?.()
  }

  wrote(bytes: number): void {
    this.landedBytes += bytes
    this.owner.bodiesWrote()
  }

  /** The names of the files by their ids; none where there never was a body: whoever makes the first one looks. */
  private async filesThere(): Promise<Map<number, string>> {
    const there = new Map<number, string>()
    if (this.refs.nextId === 1) return there
    for (const name of await this.platform.disk.list(this.directory).catch(() => [])) {
      const id = bodyIdIn(name)
      if (id > 0) there.set(id, name)
    }
    return there
  }

  /** Lives before may have left something of which the log says nothing: publishes that never were. */
  private async makeFolder(): Promise<void> {
    const { disk } = this.platform
    const { directory } = this
    await disk.makeDirectory(directory)
    await disk.syncDirectory(directory.slice(0, directory.lastIndexOf('/')))
    // What nothing refers to any more may still be needed: until what says so is durable.
    if (this.isCleared) return
    for (const name of await disk.list(directory)) {
      const id = bodyIdIn(name)
      if (id > 0 && !this.holds.has(id) && !this.refs.has(id)) await disk.remove(`${directory}/${name}`)
    }
    this.isCleared = true
  }

  private hold(id: number): void {
    this.holds.set(id, (this.holds.get(id) ?? 0) + 1)
  }

  private unhold(id: number): void {
    const count = (this.holds.get(id) ?? 1) - 1
    if (count > 0) {
      this.holds.set(id, count)
      return
    }
    this.holds.delete(id)
    const lsn = this.waiting.get(id)
    this.waiting.delete(id)
    if (this.refs.has(id)) return
    // Held only after it was let go of: it goes with that frame all the same, and not before.
    if (lsn === undefined && this.dying.some((one) => one.id === id)) return
    this.removeAfter(id, lsn ?? 0)
  }

  private unreferenced(id: number, lsn: number): void {
    if (!this.isLoaded) return
    if (this.holds.has(id)) this.waiting.set(id, lsn)
    else this.removeAfter(id, lsn)
  }

  private removeAfter(id: number, lsn: number): void {
    // Not before the turn has ended: who is about to be given the message comes to hold its body.
    if (lsn <= this.owner.durableLsn) void Promise.resolve().then(() => this.remove(id))
    else this.dying.push({ id, lsn })
  }

  /** What cannot be removed is a leftover when the folder is opened next. */
  private remove(id: number): void {
    if (this.refs.has(id) || this.holds.has(id)) return
    this.damaged.delete(id)
    const removal = this.platform.disk.remove(this.pathOf(id)).catch(() => {})
    this.removals.add(removal)
    void removal.then(() => this.removals.delete(removal))
  }

  private pathOf(id: number): string {
    return `${this.directory}/${bodyName(id)}`
  }
}
