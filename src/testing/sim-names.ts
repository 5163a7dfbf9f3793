/**
 * The names on the simulated disk. Like files they have two states: what programs see, and what survives a power cut. A
 * change is durable when the directory of each name in it was synced; until then a crash decides.
 *
 *     visible   a ─▶ inode 1   b ─▶ inode 2
 *     durable   a ─▶ inode 1
 *     pending   b ─▶ inode 2, directories not synced: /
 *
 * Directories themselves are durable at once.
 */
import type { Inode } from './sim-inode.ts'

/** `inode` null: the name is gone. */
interface Naming {
  readonly path: string
  readonly inode: Inode | null
}

/** A change of names that is not durable yet. */
export interface NameChange {
  readonly changes: readonly Naming[]
  /** Directories that still have to be synced. */
  readonly unsynced: Set<string>
}

export class SimNames {
  visible: Map<string, Inode> = new Map()
  durable: Map<string, Inode> = new Map()
  pending: NameChange[] = []
  private readonly directories = new Set<string>(['', '/', '.'])

  hasDirectory(directory: string): boolean {
    return this.directories.has(directory)
  }

  /** Makes it, and those above it. */
  addDirectory(directory: string): void {
    for (let name = directory; !this.directories.has(name); name = parent(name)) this.directories.add(name)
  }

  /** What is in the directory, in order. */
  list(directory: string): string[] {
    const names = new Set<string>()
    for (const name of this.visible.keys()) if (parent(name) === directory) names.add(basename(name))
    for (const name of this.directories) {
      if (name !== directory && parent(name) === directory) names.add(basename(name))
    }
    names.delete('')
    return [...names].sort()
  }

  change(changes: readonly Naming[]): void {
    apply(this.visible, changes)
    this.pending.push({ changes, unsynced: new Set(changes.map(({ path }) => parent(path))) })
  }

  /** Of those changes the directory is synced: what that makes durable is so, in the order of the changes. */
  synced(directory: string, pending: readonly NameChange[]): void {
    for (const { unsynced } of pending) unsynced.delete(directory)
    this.settle()
  }

  /** Puts a file there that was always there. */
  put(path: string, inode: Inode): void {
    this.addDirectory(parent(path))
    this.visible.set(path, inode)
    this.durable.set(path, inode)
  }

  /** No files any more. */
  clear(): void {
    this.visible.clear()
    this.durable.clear()
    this.pending = []
  }

  /** The power goes: `isKept` says of each pending change whether it happened. What programs see is another question. */
  cutOff(isKept: (change: NameChange) => boolean): void {
    for (const change of this.pending) if (isKept(change)) apply(this.durable, change.changes)
    this.pending = []
  }

  /** Files that may be there after a crash, each once: two of them may claim one name. */
  filesOfCrash(): (readonly [string, Inode])[] {
    const files = new Map<Inode, string>()
    for (const [path, inode] of this.durable) files.set(inode, path)
    for (const { changes } of this.pending) {
      for (const { path, inode } of changes) if (inode !== null && !files.has(inode)) files.set(inode, path)
    }
    return [...files].map(([inode, path]) => [path, inode] as const)
  }

  /** The same names, of copies of the files. */
  clone(): SimNames {
    const copy = new SimNames()
    const inodes = new Map<Inode, Inode>()
    const copied = (inode: Inode): Inode => {
      const known = inodes.get(inode) ?? inode.clone()
      inodes.set(inode, known)
      return known
    }
    for (const directory of this.directories) copy.directories.add(directory)
    for (const [path, inode] of this.visible) copy.visible.set(path, copied(inode))
    for (const [path, inode] of this.durable) copy.durable.set(path, copied(inode))
    copy.pending = this.pending.map(({ changes, unsynced }) => ({
      changes: changes.map(({ path, inode }) => ({ path, inode: inode === null ? null : copied(inode) })),
      unsynced: new Set(unsynced),
    }))
    return copy
  }

  /**
   * Of a rename from one directory to another each half is durable by itself: a name that was gone when its directory was
   * synced never comes back.
   */
  private settle(): void {
    const pending: NameChange[] = []
    for (const { changes, unsynced } of this.pending) {
      const isOpen = ({ path }: Naming): boolean => unsynced.has(parent(path))
      apply(
        this.durable,
        changes.filter((change) => !isOpen(change)),
      )
      const open = changes.filter(isOpen)
      if (open.length > 0) pending.push({ changes: open, unsynced })
    }
    this.pending = pending
  }
}

function apply(names: Map<string, Inode>, changes: readonly Naming[]): void {
  for (const { path, inode } of changes) {
    if (inode === null) names.delete(path)
    else names.set(path, inode)
  }
}

/** '..' and trailing slashes are for people; names here are compared as text. */
export function normal(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return (path.startsWith('/') ? '/' : '') + parts.join('/')
}

export function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash > 0) return path.slice(0, slash)
  return slash === 0 && path.length > 1 ? '/' : ''
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
