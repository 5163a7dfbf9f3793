/**
 * A disk that forgets. Each file has two contents: what programs see (the page cache) and what survives a power cut (the
 * durable image). A write changes the first and marks the 512-byte sectors it touched; a sync that succeeds copies those
 * to the second (sim-inode.ts). Names work the same way: a created, renamed or removed name is durable only after
 * `syncDirectory` (sim-names.ts).
 *
 * A crash decides for every unsynced sector, on its own and not in the order of the writes, whether it was kept, lost, torn
 * or became garbage, and for every unsynced change of a name whether it happened. A file may end anywhere between its
 * durable and its visible length. After it no handle works, and no promise of an operation under way ever settles.
 *
 * One assumption, the same as SQLite's "powersafe overwrite": damage stays within the bytes that were being written; bytes
 * of the same sector that were synced before survive.
 *
 * Operations take effect when they are asked for and complete a seeded while later, so a crash in between finds a write
 * under way; a sync takes effect when it completes.
 */
import { assert } from '../lib/assert.ts'
import { Prng } from '../lib/prng.ts'
import type { Disk, DiskFile, DiskLock } from '../platform/disk.ts'
import type { SimClock } from './sim-clock.ts'
import { type FileHost, SimDiskFile } from './sim-disk-file.ts'
import { copyOf, Inode, resized, type SectorFate } from './sim-inode.ts'
import { type NameChange, normal, parent, SimNames } from './sim-names.ts'
import { type SimFault, type SimOperation, type SimOperationKind, systemError } from './sim-operation.ts'

/** Something that is not durable yet. */
export type SimUnsynced =
  | { readonly kind: 'name'; readonly change: NameChange }
  | { readonly kind: 'length'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'sector'; readonly path: string; readonly inode: Inode; readonly sector: number }

export interface SimDiskOptions {
  /** The slowest operation; delays are drawn between nothing and this. Default 2. */
  latencyMsMax?: number
  /** All bytes of all files; beyond it ENOSPC. */
  spaceBytesMax?: number
}

export class SimDisk implements Disk, FileHost {
  /** Asked before every operation; what it returns goes wrong. */
  fault: ((operation: SimOperation) => SimFault | null) | null = null
  spaceBytesMax: number
  /** What kind of file system it says it is; see `fileSystemType`. */
  fileSystem = 0
  /** Operations from this index on are never carried out, as if the power went just before. */
  stopAt: number = Number.POSITIVE_INFINITY
  operations = 0
  /** How much longer each sync of a file or a directory takes, in ms. */
  syncDelayMs = 0
  private readonly clock: SimClock
  private readonly prng: Prng
  private readonly latencyMsMax: number
  private incarnation = 1
  private names = new SimNames()
  private readonly locks = new Set<string>()

  constructor(clock: SimClock, seed: number, options: SimDiskOptions = {}) {
    this.clock = clock
    this.prng = new Prng(seed)
    this.latencyMsMax = options.latencyMsMax ?? 2
    this.spaceBytesMax = options.spaceBytesMax ?? Number.POSITIVE_INFINITY
  }

  // ------------------------------------------------------------------------------------------------------- Disk

  open(path: string, mode: 'create' | 'read' | 'write'): Promise<DiskFile> {
    const name = normal(path)
    return this.perform(mode === 'create' ? 'create' : 'open', name, 0, () => {
      let inode = this.names.visible.get(name)
      if (mode === 'create') {
        if (inode !== undefined) throw systemError('EEXIST', 'open', name)
        if (!this.names.hasDirectory(parent(name))) throw systemError('ENOENT', 'open', name)
        inode = new Inode()
        this.names.change([{ path: name, inode }])
      }
      if (inode === undefined) throw systemError('ENOENT', 'open', name)
      return new SimDiskFile(this, this.incarnation, name, inode, mode !== 'read')
    })
  }

  list(path: string): Promise<string[]> {
    const directory = normal(path)
    return this.perform('list', directory, 0, () => {
      if (!this.names.hasDirectory(directory)) throw systemError('ENOENT', 'scandir', directory)
      return this.names.list(directory)
    })
  }

  /** Directories are durable at once: nothing here depends on less. */
  makeDirectory(path: string): Promise<void> {
    const directory = normal(path)
    return this.perform('makeDirectory', directory, 0, () => this.names.addDirectory(directory))
  }

  rename(from: string, to: string): Promise<void> {
    const source = normal(from)
    const target = normal(to)
    return this.perform('rename', source, 0, () => {
      const inode = this.names.visible.get(source)
      if (inode === undefined || !this.names.hasDirectory(parent(target))) throw systemError('ENOENT', 'rename', source)
      const changes = [
        { path: source, inode: null },
        { path: target, inode },
      ]
      this.names.change(changes)
    })
  }

  remove(path: string): Promise<void> {
    const name = normal(path)
    return this.perform('remove', name, 0, () => {
      if (!this.names.visible.has(name)) throw systemError('ENOENT', 'unlink', name)
      this.names.change([{ path: name, inode: null }])
    })
  }

  link(from: string, to: string): Promise<void> {
    const source = normal(from)
    const target = normal(to)
    return this.perform('link', source, 0, () => {
      const inode = this.names.visible.get(source)
      if (inode === undefined || !this.names.hasDirectory(parent(target))) throw systemError('ENOENT', 'link', source)
      if (this.names.visible.has(target)) throw systemError('EEXIST', 'link', target)
      this.names.change([{ path: target, inode }])
    })
  }

  /** Not counted as an operation: it says nothing about what is stored. */
  async freeBytes(): Promise<number> {
    return this.spaceBytesMax === Number.POSITIVE_INFINITY
      ? Number.POSITIVE_INFINITY
      : this.spaceFor(Number.MAX_SAFE_INTEGER)
  }

  /** Not counted as an operation, as `freeBytes`. */
  async fileSystemType(): Promise<number> {
    return this.fileSystem
  }

  syncDirectory(path: string): Promise<void> {
    const directory = normal(path)
    const pending = [...this.names.pending]
    return this.perform(
      'syncDirectory',
      directory,
      0,
      () => {
        if (!this.names.hasDirectory(directory)) throw systemError('ENOENT', 'open', directory)
      },
      () => this.names.synced(directory, pending),
    )
  }

  lock(path: string): Promise<DiskLock | null> {
    const directory = normal(path)
    return this.perform('lock', directory, 0, () => {
      if (this.locks.has(directory)) return null
      this.locks.add(directory)
      const { incarnation } = this
      return {
        release: async () => {
          if (incarnation === this.incarnation) this.locks.delete(directory)
        },
      }
    })
  }

  // ------------------------------------------------------------------------------------------------------ faults

  /**
   * The power goes, or (`processOnly`) just the process: then the page cache survives, written or not. `choose` decides
   * over each unsynced sector; by default the seed does.
   */
  crash(choose?: (path: string, sector: number) => SectorFate, processOnly = false): void {
    this.incarnation++
    this.locks.clear()
    this.stopAt = Number.POSITIVE_INFINITY
    if (processOnly) return
    // A file whose name was lost may still be kept under another: each is cut off once.
    const done = new Set<Inode>()
    this.names.cutOff(() => this.prng.chance(0.5))
    for (const [path, inode] of this.names.durable) {
      if (done.has(inode)) continue
      done.add(inode)
      this.cutOff(path, inode, choose)
    }
    this.names.visible = new Map(this.names.durable)
  }

  /**
   * What a power cut may or may not leave, in a fixed order: changes of names, the oldest first, then per file its new
   * length and its unsynced sectors.
   */
  get unsynced(): readonly SimUnsynced[] {
    const found: SimUnsynced[] = this.names.pending.map((change) => ({ kind: 'name', change }))
    for (const [path, inode] of this.names.filesOfCrash()) {
      if (inode.visible.length !== inode.durable.length) found.push({ kind: 'length', path, inode })
      for (const sector of inode.dirty.keys()) found.push({ kind: 'sector', path, inode, sector })
    }
    return found
  }

  /** The power goes, and what becomes of each item of `unsynced` is told. */
  crashTo(fates: readonly ('kept' | 'lost' | 'torn')[]): void {
    const items = this.unsynced
    const names = new Set<NameChange>()
    const lengths = new Set<Inode>()
    const sectors = new Map<Inode, Map<number, 'kept' | 'lost' | 'torn'>>()
    for (const [at, item] of items.entries()) {
      const fate = fates[at] ?? 'lost'
      if (item.kind === 'name') {
        if (fate !== 'lost') names.add(item.change)
      } else if (item.kind === 'length') {
        if (fate !== 'lost') lengths.add(item.inode)
      } else {
        const known = sectors.get(item.inode) ?? new Map<number, 'kept' | 'lost' | 'torn'>()
        sectors.set(item.inode, known.set(item.sector, fate))
      }
    }
    this.incarnation++
    this.locks.clear()
    this.stopAt = Number.POSITIVE_INFINITY
    this.names.cutOff((change) => names.has(change))
    for (const inode of new Set(this.names.durable.values())) {
      inode.cutOff(lengths.has(inode), (sector) => sectors.get(inode)?.get(sector) ?? 'lost')
    }
    this.names.visible = new Map(this.names.durable)
  }

  /** One bit turns over, on the platter and in the cache. */
  flipBit(path: string, offset: number, bit: number): void {
    const inode = this.inode(path)
    for (const content of [inode.visible, inode.durable]) {
      if (offset < content.length) content[offset] = (content[offset] as number) ^ (1 << bit)
    }
  }

  /** What a program would read. */
  contents(path: string): Buffer {
    return Buffer.from(this.inode(path).visible)
  }

  /** What a power cut would leave at least. */
  durableContents(path: string): Buffer {
    const inode = this.names.durable.get(normal(path))
    return inode === undefined ? Buffer.alloc(0) : Buffer.from(inode.durable)
  }

  /** Puts a file there, durable, made if need be. */
  setContents(path: string, contents: Buffer): void {
    const name = normal(path)
    const inode = new Inode()
    inode.visible = copyOf(contents)
    inode.durable = copyOf(contents)
    this.names.put(name, inode)
  }

  /** Every file there is, by path. */
  paths(): string[] {
    return [...this.names.visible.keys()].sort()
  }

  /** All contents, as a program sees them: for keeping a state and coming back to it on another disk. */
  snapshot(): Map<string, Buffer> {
    return new Map([...this.names.visible].map(([path, inode]) => [path, Buffer.from(inode.visible)]))
  }

  restore(snapshot: ReadonlyMap<string, Buffer>): void {
    this.names.clear()
    for (const [path, contents] of snapshot) this.setContents(path, contents)
  }

  /** The same disk, with what is not durable yet, as one of its own: what is tried on it does not happen here. */
  clone(clock: SimClock, seed: number): SimDisk {
    const copy = new SimDisk(clock, seed, { latencyMsMax: 0, spaceBytesMax: this.spaceBytesMax })
    copy.names = this.names.clone()
    return copy
  }

  // --------------------------------------------------------------------------------------------------- internals

  perform<T>(
    kind: SimOperationKind,
    path: string,
    bytes: number,
    effect: (fault: SimFault | null) => T,
    complete?: (fault: SimFault | null) => void,
    incarnation: number = this.incarnation,
  ): Promise<T> {
    if (incarnation !== this.incarnation) return new Promise(() => {})
    const index = this.operations++
    const isSync = kind === 'sync' || kind === 'syncDirectory'
    const delayMs = this.prng.next() * this.latencyMsMax + (isSync ? this.syncDelayMs : 0)
    if (index >= this.stopAt) return new Promise(() => {})
    const fault = this.fault?.({ kind, path, bytes, index }) ?? null
    let result: T
    let error: Error | null = fault === null ? null : systemError(fault.code, kind, path)
    try {
      if (fault === null || kind === 'write') result = effect(fault)
    } catch (thrown) {
      error = thrown as Error
    }
    return new Promise((resolve, reject) => {
      this.clock.after(delayMs, () => {
        if (incarnation !== this.incarnation) return
        if (complete !== undefined && (error === null || kind === 'sync')) complete(fault)
        if (error === null) resolve(result)
        else reject(error)
      })
    })
  }

  performNow<T>(kind: SimOperationKind, path: string, bytes: number, effect: () => T): T {
    const index = this.operations++
    const fault = this.fault?.({ kind, path, bytes, index }) ?? null
    if (fault !== null) throw systemError(fault.code, kind, path)
    return effect()
  }

  spaceFor(bytes: number): number {
    if (this.spaceBytesMax === Number.POSITIVE_INFINITY) return bytes
    let used = 0
    for (const inode of this.names.visible.values()) used += inode.visible.length
    return Math.max(0, Math.min(bytes, this.spaceBytesMax - used))
  }

  private inode(path: string): Inode {
    const inode = this.names.visible.get(normal(path))
    assert(inode !== undefined, `there is a file ${path}`)
    return inode
  }

  private cutOff(path: string, inode: Inode, choose?: (path: string, sector: number) => SectorFate): void {
    const { prng } = this
    const { visible, durable } = inode
    const shorter = Math.min(visible.length, durable.length)
    const longer = Math.max(visible.length, durable.length)
    // The length may be the old one, the new one, or that of a moment between; where data did not follow, zeros are.
    const lengths = [durable.length, visible.length, shorter + prng.below(longer - shorter + 1)]
    const length = choose === undefined ? (lengths[prng.below(3)] as number) : visible.length
    const image = resized(copyOf(durable), longer)
    for (const [sector, range] of inode.dirty) {
      const fate = choose?.(path, sector) ?? (['kept', 'lost', 'garbage', 'torn'] as const)[prng.below(4)]
      let to = Math.min(range.to, visible.length)
      if (fate === 'torn') to = range.from + prng.below(Math.max(1, to - range.from))
      if (fate === 'lost' || to <= range.from) continue
      if (fate === 'garbage') this.garble(image.subarray(range.from, to), range.from)
      else visible.copy(image, range.from, range.from, to)
    }
    inode.durable = resized(image, inode.dirty.size === 0 ? durable.length : length)
    inode.visible = copyOf(inode.durable)
    inode.dirty.clear()
  }

  /** Noise, or what another file has in the same place: blocks are used again, and old frames look like new ones. */
  private garble(target: Buffer, offset: number): void {
    const { prng } = this
    prng.fill(target)
    if (prng.chance(0.5)) return
    const files = [...this.names.durable.values()]
    const other = files[prng.below(files.length)]
    if (other !== undefined && other.durable.length > offset) other.durable.copy(target, 0, offset)
  }
}
