/**
 * A file of the simulated disk: what programs see, what survives a power cut, and which bytes of each 512-byte sector make
 * the difference.
 */

export const sectorBytes = 512

/** How a crash treats one unsynced sector. */
export type SectorFate = 'kept' | 'lost' | 'garbage' | 'torn'

export interface DirtyRange {
  from: number
  to: number
  version: number
}

export class Inode {
  visible: Buffer = copyOf(Buffer.alloc(0))
  durable: Buffer = copyOf(Buffer.alloc(0))
  /** Unsynced bytes, per sector. */
  readonly dirty: Map<number, DirtyRange> = new Map()
  version = 0

  write(bytes: Buffer, position: number): void {
    if (position + bytes.length > this.visible.length) this.visible = resized(this.visible, position + bytes.length)
    bytes.copy(this.visible, position)
    this.markDirty(position, position + bytes.length)
  }

  resize(size: number): void {
    const from = Math.min(size, this.visible.length)
    const to = Math.max(size, this.visible.length)
    this.visible = resized(this.visible, size)
    this.markDirty(from, to)
  }

  markDirty(start: number, end: number): void {
    this.version++
    for (let sector = Math.floor(start / sectorBytes); sector * sectorBytes < end; sector++) {
      const from = Math.max(start, sector * sectorBytes)
      const to = Math.min(end, (sector + 1) * sectorBytes)
      const range = this.dirty.get(sector)
      if (range === undefined) {
        this.dirty.set(sector, { from, to, version: this.version })
      } else {
        range.from = Math.min(range.from, from)
        range.to = Math.max(range.to, to)
        range.version = this.version
      }
    }
  }

  /** Makes durable what was dirty at `version`: the ranges `asked`. What was added to their sectors since is dirty still. */
  synced(version: number, asked: ReadonlyMap<number, DirtyRange>): void {
    if (this.version === version) this.durable = resized(this.durable, this.visible.length)
    for (const [sector, { from, to: end }] of asked) {
      const range = this.dirty.get(sector)
      if (range === undefined) continue
      if (range.version <= version) this.dirty.delete(sector)
      else if (range.from >= from && range.to > end) range.from = end
      const to = Math.min(end, this.visible.length)
      if (to <= from) continue
      if (to > this.durable.length) this.durable = resized(this.durable, to)
      this.visible.copy(this.durable, from, from, to)
    }
  }

  /** What a sync that is asked for now has to make durable. */
  get unsynced(): ReadonlyMap<number, DirtyRange> {
    return new Map([...this.dirty].map(([sector, range]) => [sector, { ...range }]))
  }

  clone(): Inode {
    const copy = new Inode()
    copy.visible = copyOf(this.visible)
    copy.durable = copyOf(this.durable)
    for (const [sector, range] of this.dirty) copy.dirty.set(sector, { ...range })
    copy.version = this.version
    return copy
  }

  /** The power goes: `fateOf` says what becomes of each unsynced sector, `hasNewLength` whether the file has its new end. */
  cutOff(hasNewLength: boolean, fateOf: (sector: number) => 'kept' | 'lost' | 'torn'): void {
    const { visible, durable } = this
    const image = resized(copyOf(durable), Math.max(visible.length, durable.length))
    for (const [sector, { from, to }] of this.dirty) {
      const fate = fateOf(sector)
      const end = Math.min(visible.length, fate === 'torn' ? from + ((to - from) >> 1) : to)
      if (fate !== 'lost' && end > from) visible.copy(image, from, from, end)
    }
    this.durable = resized(image, hasNewLength ? visible.length : durable.length)
    this.visible = copyOf(this.durable)
    this.dirty.clear()
  }

  syncFailed(model: 'clean' | 'reverted'): void {
    this.dirty.clear()
    if (model === 'reverted') this.visible = copyOf(this.durable)
  }
}

/** Spare room behind the end keeps a file that grows in small steps from being copied each time. */
export function resized(buffer: Buffer, size: number): Buffer {
  if (size <= buffer.length) return buffer.subarray(0, size)
  if (size <= buffer.buffer.byteLength) return Buffer.from(buffer.buffer, 0, size).fill(0, buffer.length)
  const grown = Buffer.from(new ArrayBuffer(size * 2), 0, size)
  buffer.copy(grown)
  return grown
}

/** Not Buffer.from: small buffers share one allocation, into which `resized` must not grow. */
export function copyOf(buffer: Buffer): Buffer {
  const copy = Buffer.from(new ArrayBuffer(buffer.length))
  buffer.copy(copy)
  return copy
}
