/**
 * A disk that forgets. Each file has two contents: what programs see (the page cache) and what survives a power cut (the
 * durable image). A write changes the first and marks the 512-byte sectors it touched; a sync that succeeds copies those
 * to the second. Names work the same way: a created, renamed or removed name is durable only after `syncDirectory`.
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
import { copyOf, Inode, resized, type SectorFate } from './sim-inode.ts'

export type SimOperationKind =
  | 'open'
  | 'create'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'link'
  | 'syncDirectory'
  | 'lock'
  | 'write'
  | 'read'
  | 'sync'
  | 'size'
  | 'truncate'
  | 'close'

export interface SimOperation {
  readonly kind: SimOperationKind
  readonly path: string
  /** Bytes to write or read; 0 for the others. */
  readonly bytes: number
  /** How many operations were asked for before this one, since the disk was made. */
  readonly index: number
}

/** What goes wrong with one operation. */
export interface SimFault {
  readonly code: string
  /** A failing write first writes this many bytes. Default 0. */
  readonly bytesWritten?: number
  /**
   * A failing sync (ATC'20): 'clean' leaves the new content visible and forgets that it was never written (ext4, XFS);
   * 'reverted' shows the old content again (Btrfs). Default 'clean'.
   */
  readonly model?: 'clean' | 'reverted'
}

/** A change of a name that is not durable yet. `inode` null: the name is gone. */
interface NameChange {
  readonly changes: readonly { path: string; inode: Inode | null }[]
  /** Directories that still have to be synced. */
  readonly unsynced: Set<string>
}

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

export class SimDisk implements Disk {
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
  private readonly directories = new Set<string>(['', '/', '.'])
  private visibleNames = new Map<string, Inode>()
  private durableNames = new Map<string, Inode>()
  private pendingNames: NameChange[] = []
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
      let inode = this.visibleNames.get(name)
      if (mode === 'create') {
        if (inode !== undefined) throw systemError('EEXIST', 'open', name)
        if (!this.directories.has(parent(name))) throw systemError('ENOENT', 'open', name)
        inode = new Inode()
        this.changeNames([{ path: name, inode }], [parent(name)])
      }
      if (inode === undefined) throw systemError('ENOENT', 'open', name)
      return new SimDiskFile(this, this.incarnation, name, inode, mode !== 'read')
    })
  }

  list(path: string): Promise<string[]> {
    const directory = normal(path)
    return this.perform('list', directory, 0, () => {
      if (!this.directories.has(directory)) throw systemError('ENOENT', 'scandir', directory)
      const names = new Set<string>()
      for (const name of this.visibleNames.keys()) if (parent(name) === directory) names.add(basename(name))
      for (const name of this.directories) {
        if (name !== directory && parent(name) === directory) names.add(basename(name))
      }
      names.delete('')
      return [...names].sort()
    })
  }

  /** Directories are durable at once: nothing here depends on less. */
  makeDirectory(path: string): Promise<void> {
    const directory = normal(path)
    return this.perform('makeDirectory', directory, 0, () => {
      for (let name = directory; !this.directories.has(name); name = parent(name)) this.directories.add(name)
    })
  }

  rename(from: string, to: string): Promise<void> {
    const source = normal(from)
    const target = normal(to)
    return this.perform('rename', source, 0, () => {
      const inode = this.visibleNames.get(source)
      if (inode === undefined || !this.directories.has(parent(target))) throw systemError('ENOENT', 'rename', source)
      const changes = [
        { path: source, inode: null },
        { path: target, inode },
      ]
      this.changeNames(changes, [parent(source), parent(target)])
    })
  }

  remove(path: string): Promise<void> {
    const name = normal(path)
    return this.perform('remove', name, 0, () => {
      if (!this.visibleNames.has(name)) throw systemError('ENOENT', 'unlink', name)
      this.changeNames([{ path: name, inode: null }], [parent(name)])
    })
  }

  link(from: string, to: string): Promise<void> {
    const source = normal(from)
    const target = normal(to)
    return this.perform('link', source, 0, () => {
      const inode = this.visibleNames.get(source)
      if (inode === undefined || !this.directories.has(parent(target))) throw systemError('ENOENT', 'link', source)
      if (this.visibleNames.has(target)) throw systemError('EEXIST', 'link', target)
      this.changeNames([{ path: target, inode }], [parent(target)])
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
    const pending = [...this.pendingNames]
    return this.perform(
      'syncDirectory',
      directory,
      0,
      () => {
        if (!this.directories.has(directory)) throw systemError('ENOENT', 'open', directory)
      },
      () => {
        for (const change of pending) change.unsynced.delete(directory)
        this.settleNames()
      },
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
    for (const change of this.pendingNames) {
      if (this.prng.chance(0.5)) applyNames(this.durableNames, change.changes)
    }
    this.pendingNames = []
    for (const [path, inode] of this.durableNames) {
      if (done.has(inode)) continue
      done.add(inode)
      this.cutOff(path, inode, choose)
    }
    this.visibleNames = new Map(this.durableNames)
  }

  /**
   * What a power cut may or may not leave, in a fixed order: changes of names, the oldest first, then per file its new
   * length and its unsynced sectors.
   */
  get unsynced(): readonly SimUnsynced[] {
    const found: SimUnsynced[] = this.pendingNames.map((change) => ({ kind: 'name', change }))
    for (const [path, inode] of this.filesOfCrash()) {
      if (inode.visible.length !== inode.durable.length) found.push({ kind: 'length', path, inode })
      for (const sector of inode.dirty.keys()) found.push({ kind: 'sector', path, inode, sector })
    }
    return found
  }

  /** The power goes, and what becomes of each item of `unsynced` is told. */
  crashTo(fates: readonly ('kept' | 'lost' | 'torn')[]): void {
    const items = this.unsynced
    const lengths = new Set<Inode>()
    const sectors = new Map<Inode, Map<number, 'kept' | 'lost' | 'torn'>>()
    for (const [at, item] of items.entries()) {
      const fate = fates[at] ?? 'lost'
      if (item.kind === 'name') {
        if (fate !== 'lost') applyNames(this.durableNames, item.change.changes)
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
    this.pendingNames = []
    for (const inode of new Set(this.durableNames.values())) {
      inode.cutOff(lengths.has(inode), (sector) => sectors.get(inode)?.get(sector) ?? 'lost')
    }
    this.visibleNames = new Map(this.durableNames)
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
    const inode = this.durableNames.get(normal(path))
    return inode === undefined ? Buffer.alloc(0) : Buffer.from(inode.durable)
  }

  /** Puts a file there, durable, made if need be. */
  setContents(path: string, contents: Buffer): void {
    const name = normal(path)
    const inode = new Inode()
    inode.visible = copyOf(contents)
    inode.durable = copyOf(contents)
    for (let directory = parent(name); !this.directories.has(directory); directory = parent(directory)) {
      this.directories.add(directory)
    }
    this.visibleNames.set(name, inode)
    this.durableNames.set(name, inode)
  }

  /** Every file there is, by path. */
  paths(): string[] {
    return [...this.visibleNames.keys()].sort()
  }

  /** All contents, as a program sees them: for keeping a state and coming back to it on another disk. */
  snapshot(): Map<string, Buffer> {
    return new Map([...this.visibleNames].map(([path, inode]) => [path, Buffer.from(inode.visible)]))
  }

  restore(snapshot: ReadonlyMap<string, Buffer>): void {
    this.visibleNames.clear()
    this.durableNames.clear()
    this.pendingNames = []
    for (const [path, contents] of snapshot) this.setContents(path, contents)
  }

  /** The same disk, with what is not durable yet, as one of its own: what is tried on it does not happen here. */
  clone(clock: SimClock, seed: number): SimDisk {
    const copy = new SimDisk(clock, seed, { latencyMsMax: 0, spaceBytesMax: this.spaceBytesMax })
    const inodes = new Map<Inode, Inode>()
    const copied = (inode: Inode): Inode => {
      const known = inodes.get(inode) ?? inode.clone()
      inodes.set(inode, known)
      return known
    }
    for (const directory of this.directories) copy.directories.add(directory)
    for (const [path, inode] of this.visibleNames) copy.visibleNames.set(path, copied(inode))
    for (const [path, inode] of this.durableNames) copy.durableNames.set(path, copied(inode))
    copy.pendingNames = this.pendingNames.map(({ changes, unsynced }) => ({
      changes: changes.map(({ path, inode }) => ({ path, inode: inode === null ? null : copied(inode) })),
      unsynced: new Set(unsynced),
    }))
    return copy
  }

  // --------------------------------------------------------------------------------------------------- internals

  /**
   * One operation: counted, perhaps faulty, carried out now, completed later. `complete` is what only happens if the
   * operation gets that far before a crash.
   */
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

  /** An operation that is over when it returns. A process that is dead by then does not notice. */
  performNow<T>(kind: SimOperationKind, path: string, bytes: number, effect: () => T): T {
    const index = this.operations++
    const fault = this.fault?.({ kind, path, bytes, index }) ?? null
    if (fault !== null) throw systemError(fault.code, kind, path)
    return effect()
  }

  /** Files that may be there after a crash, each once: two of them may claim one name. */
  private filesOfCrash(): (readonly [string, Inode])[] {
    const files = new Map<Inode, string>()
    for (const [path, inode] of this.durableNames) files.set(inode, path)
    for (const { changes } of this.pendingNames) {
      for (const { path, inode } of changes) if (inode !== null && !files.has(inode)) files.set(inode, path)
    }
    return [...files].map(([inode, path]) => [path, inode] as const)
  }

  /** How many of `bytes` new bytes at the end of a file still fit. */
  spaceFor(bytes: number): number {
    if (this.spaceBytesMax === Number.POSITIVE_INFINITY) return bytes
    let used = 0
    for (const inode of this.visibleNames.values()) used += inode.visible.length
    return Math.max(0, Math.min(bytes, this.spaceBytesMax - used))
  }

  private inode(path: string): Inode {
    const inode = this.visibleNames.get(normal(path))
    assert(inode !== undefined, `there is a file ${path}`)
    return inode
  }

  private changeNames(changes: NameChange['changes'], directories: readonly string[]): void {
    applyNames(this.visibleNames, changes)
    this.pendingNames.push({ changes, unsynced: new Set(directories) })
  }

  /**
   * What its directories have synced is durable, in the order of the changes. Of a rename from one directory to another each
   * half is: a name that was gone when its directory was synced never comes back.
   */
  private settleNames(): void {
    const pending: NameChange[] = []
    for (const { changes, unsynced } of this.pendingNames) {
      const isOpen = ({ path }: { path: string }): boolean => unsynced.has(parent(path))
      applyNames(
        this.durableNames,
        changes.filter((change) => !isOpen(change)),
      )
      const open = changes.filter(isOpen)
      if (open.length > 0) pending.push({ changes: open, unsynced })
    }
    this.pendingNames = pending
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
    const files = [...this.durableNames.values()]
    const other = files[prng.below(files.length)]
    if (other !== undefined && other.durable.length > offset) other.durable.copy(target, 0, offset)
  }
}

class SimDiskFile implements DiskFile {
  private readonly disk: SimDisk
  private readonly incarnation: number
  private readonly path: string
  private readonly inode: Inode
  private readonly isWritable: boolean
  private isClosed = false

  constructor(disk: SimDisk, incarnation: number, path: string, inode: Inode, isWritable: boolean) {
    this.disk = disk
    this.incarnation = incarnation
    this.path = path
    this.inode = inode
    this.isWritable = isWritable
  }

  write(buffer: Buffer, start: number, end: number, position: number): Promise<void> {
    const { disk, inode, path } = this
    assert(this.isWritable, 'the file is open for writing')
    return this.perform('write', end - start, (fault) => {
      const growth = Math.max(0, position + end - start - inode.visible.length)
      const fitting = end - start - growth + disk.spaceFor(growth)
      const written = fault === null ? fitting : Math.min(fitting, fault.bytesWritten ?? 0)
      if (written > 0) inode.write(buffer.subarray(start, start + written), position)
      if (fault === null && written < end - start) throw systemError('ENOSPC', 'write', path)
    })
  }

  read(buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    const { inode } = this
    return this.perform('read', end - start, () => {
      if (position >= inode.visible.length) return 0
      return inode.visible.copy(buffer, start, position, Math.min(inode.visible.length, position + end - start))
    })
  }

  readNow(buffer: Buffer, start: number, end: number, position: number): number {
    const { inode } = this
    return this.disk.performNow('read', this.path, end - start, () => {
      if (position >= inode.visible.length) return 0
      return inode.visible.copy(buffer, start, position, Math.min(inode.visible.length, position + end - start))
    })
  }

  sync(): Promise<void> {
    const { inode } = this
    const { version, unsynced } = inode
    return this.perform(
      'sync',
      0,
      () => {},
      (fault) => {
        if (fault === null) inode.synced(version, unsynced)
        else inode.syncFailed(fault.model ?? 'clean')
      },
    )
  }

  size(): Promise<number> {
    return this.perform('size', 0, () => this.inode.visible.length)
  }

  truncate(size: number): Promise<void> {
    assert(this.isWritable, 'the file is open for writing')
    return this.perform('truncate', 0, () => this.inode.resize(size))
  }

  close(): Promise<void> {
    return this.perform('close', 0, () => {
      this.isClosed = true
    })
  }

  private perform<T>(
    kind: SimOperationKind,
    bytes: number,
    effect: (fault: SimFault | null) => T,
    complete?: (fault: SimFault | null) => void,
  ): Promise<T> {
    assert(!this.isClosed, 'the file is open')
    return this.disk.perform(kind, this.path, bytes, effect, complete, this.incarnation)
  }
}

function applyNames(names: Map<string, Inode>, changes: NameChange['changes']): void {
  for (const { path, inode } of changes) {
    if (inode === null) names.delete(path)
    else names.set(path, inode)
  }
}

function systemError(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${syscall} '${path}'`), { code, syscall, path })
}

/** '..' and trailing slashes are for people; names here are compared as text. */
function normal(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return (path.startsWith('/') ? '/' : '') + parts.join('/')
}

function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash > 0) return path.slice(0, slash)
  return slash === 0 && path.length > 1 ? '/' : ''
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
