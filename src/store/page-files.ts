/**
 * Pages of indexes that memory has no room for, in files idx/%010d.idx. They are derived data: without a checkpoint that
 * names them they mean nothing, and opening a folder removes those that none does.
 *
 *     file       pages, one after the other
 *     page       magic 'LVI1' | queue id u32 | bytes u32 | CRC of the bytes u32 | first sequence f64 | count u32 | 0 u32
 *                | the bytes, as in index-page.ts                                                          little endian
 *
 * Pages come into memory when their first entry is added, or when they are read; beyond `bytesMax` those that came first
 * are written, many with one write, and let go of; but a page that was used lately gets another turn.
 */
import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/crc32.ts'
import { Deque } from '../lib/deque.ts'
import type { Disk, DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import type { IndexPage } from './index-page.ts'
import type { Leftovers } from './leftovers.ts'

export const pageHeaderBytes = 32
const pageMagic = 0x3149564c
const writeBytesMax = 262_144
const retryMs = 1_000

export interface PageFilesOptions {
  /** Bytes of pages in memory. */
  readonly pageBytesMax: number
  /** A page file that has reached this length is followed by a new one. */
  readonly pageFileBytesMax: number
}

export class PageFile {
  readonly id: number
  readonly path: string
  file: DiskFile | null
  bytes = 0
  /** Pages in it that a queue still has. */
  live = 0
  /** Checkpoints that name it. */
  named = 0
  isSynced = true
  /** Nothing is added any more. */
  isFull = false

  constructor(id: number, path: string, file: DiskFile | null) {
    this.id = id
    this.path = path
    this.file = file
  }
}

export class PageFiles {
  /** Bytes of pages in memory. */
  bytes = 0
  private readonly platform: Platform
  private readonly disk: Disk
  private readonly directory: string
  private readonly options: PageFilesOptions
  private readonly onUnreadable: (detail: string) => void
  private readonly files = new Map<number, PageFile>()
  private readonly resident = new Deque<IndexPage>()
  private current: PageFile | null = null
  private nextId = 1
  private leftovers: string[] = []
  private writing: Promise<void> | null = null
  private failedMs = Number.NEGATIVE_INFINITY
  private isClosed = false
  private isHeld = false
  /** Pages in `resident` that are dead, or more. */
  private deadPages = 0
  /** Files were made whose names may not be durable. */
  private namesToSync = false

  /** `onUnreadable`: a page cannot be read, and its queue cannot go on. */
  constructor(
    platform: Platform,
    directory: string,
    options: PageFilesOptions,
    onUnreadable: (detail: string) => void,
  ) {
    this.platform = platform
    this.disk = platform.disk
    this.directory = directory
    this.options = options
    this.onUnreadable = onUnreadable
  }

  /** Makes the folder. New files get numbers above those that are there. */
  async open(): Promise<void> {
    await this.disk.makeDirectory(this.directory)
    for (const name of await this.disk.list(this.directory)) {
      const id = pageFileIdOf(name)
      if (id === 0) continue
      this.nextId = Math.max(this.nextId, id + 1)
      this.leftovers.push(name)
    }
  }

  /** New files get other numbers, whether there are such files or not. */
  avoid(ids: readonly number[]): void {
    for (const id of ids) this.nextId = Math.max(this.nextId, id + 1)
  }

  /** Which files are there. */
  has(id: number): boolean {
    return this.leftovers.includes(pageFileName(id))
  }

  /** Opens files that a checkpoint names. */
  async adopt(ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      if (this.files.has(id)) continue
      const path = this.pathOf(id)
      const file = new PageFile(id, path, await this.disk.open(path, 'read'))
      file.isFull = true
      this.files.set(id, file)
    }
  }

  /** A checkpoint names these files; they stay as long as it is kept. */
  name(ids: readonly number[]): void {
    for (const id of ids) {
      const file = this.files.get(id)
      if (file !== undefined) file.named++
    }
  }

  unname(ids: readonly number[]): void {
    for (const id of ids) {
      const file = this.files.get(id)
      if (file === undefined) continue
      file.named--
      this.removeIfUnused(file)
    }
  }

  /** A page that a checkpoint told of. */
  recovered(page: IndexPage): void {
    if (page.place === null) this.arrived(page)
    else {
      const file = this.files.get(page.place.file)
      assert(file !== undefined, 'a checkpoint names the files of its pages')
      file.live++
    }
  }

  /** Removes what earlier openings left and no checkpoint names. */
  async removeLeftovers(leftovers: Leftovers): Promise<void> {
    for (const name of this.leftovers.splice(0)) {
      if (!this.files.has(pageFileIdOf(name))) await leftovers.take(this.directory, name)
    }
  }

  /**
   * Sees to it that pages are in files, for a checkpoint: `frozen[n]` is what `pages[n]` was when it was looked at, and has
   * its bytes even if nobody else needs them any more. Both get their place.
   */
  async store(pages: readonly IndexPage[], frozen: readonly IndexPage[]): Promise<void> {
    for (let at = 0; at < pages.length; ) {
      // Nothing may come between this and the write below.
      while (this.writing !== null) await this.writing
      const batch: IndexPage[] = []
      const copies: IndexPage[] = []
      let bytes = 0
      for (; at < pages.length && bytes < writeBytesMax; at++) {
        const page = pages[at] as IndexPage
        const copy = frozen[at] as IndexPage
        // A page that is being filled is told of in the checkpoint itself.
        if (!copy.isClosed) continue
        if (page.place === null) {
          batch.push(page)
          copies.push(copy)
          bytes += pageHeaderBytes + copy.usedBytes
        } else {
          copy.place = page.place
          copy.crc = page.crc
        }
      }
      if (batch.length === 0) continue
      const writing = this.write(batch, copies, bytes)
      this.writing = this.follow(writing)
      await writing
    }
  }

  /** Settles when a write has ended, one way or the other. */
  private async follow(writing: Promise<void>): Promise<void> {
    try {
      await writing
    } catch {
    } finally {
      this.writing = null
      this.relieve()
    }
  }

  /** Files stay, used or not, until `release`: a checkpoint is being made that will name them. */
  hold(): void {
    this.isHeld = true
  }

  release(): void {
    this.isHeld = false
    for (const file of this.files.values()) this.removeIfUnused(file)
  }

  /** Makes everything that was written durable. Rejects if a sync fails: then nobody knows what is. */
  async sync(): Promise<void> {
    while (this.writing !== null) await this.writing
    for (const file of this.files.values()) {
      if (file.isSynced || file.file === null) continue
      // Said before it is true: what is written meanwhile says otherwise, and must not be overruled.
      file.isSynced = true
      await file.file.sync()
    }
    if (!this.namesToSync) return
    this.namesToSync = false
    await this.disk.syncDirectory(this.directory)
  }

  /** A page has come into memory. */
  arrived(page: IndexPage): void {
    this.bytes += page.residentBytes
    this.resident.push(page)
    this.relieve()
  }

  /** The page takes other memory than before. */
  resized(bytesMore: number): void {
    this.bytes += bytesMore
    this.relieve()
  }

  /** Nobody needs the page any more. */
  discard(page: IndexPage): void {
    if (page.bytes !== null) this.deadPages++
    page.isDead = true
    this.letGo(page)
    if (this.deadPages > this.resident.length / 2 + 8) this.forgetDead()
    if (page.place === null) return
    const file = this.files.get(page.place.file)
    if (file === undefined) return
    file.live--
    this.removeIfUnused(file)
  }

  /** The bytes of a page, read at once if need be; null if they cannot be read. */
  need(page: IndexPage): Buffer | null {
    if (page.bytes !== null) return page.bytes
    const { place } = page
    assert(place !== null, 'a page is in memory or in a file')
    const file = this.files.get(place.file)?.file
    const buffer = Buffer.allocUnsafeSlow(page.usedBytes)
    try {
      const read = file?.readNow(buffer, 0, buffer.length, place.position + pageHeaderBytes) ?? -1
      return this.take(page, buffer, read) ? buffer : null
    } catch (error) {
      this.onUnreadable(`${this.pathOf(place.file)}: ${String(error)}`)
      return null
    }
  }

  /** Reads a page before it is needed; if the disk does not give it, `need` will say so. */
  prefetch(page: IndexPage): void {
    if (page.bytes !== null || page.isMoving || page.place === null) return
    const { place } = page
    const file = this.files.get(place.file)?.file
    if (file == null) return
    page.isMoving = true
    const buffer = Buffer.allocUnsafeSlow(page.usedBytes)
    file.read(buffer, 0, buffer.length, place.position + pageHeaderBytes).then(
      (read) => {
        page.isMoving = false
        if (!page.isDead && page.bytes === null) this.take(page, buffer, read)
      },
      () => {
        page.isMoving = false
      },
    )
  }

  async close(): Promise<void> {
    this.isClosed = true
    await this.writing
    for (const { file } of this.files.values()) await file?.close().catch(() => {})
  }

  private take(page: IndexPage, buffer: Buffer, read: number): boolean {
    if (read !== buffer.length || crc32(buffer, 0, buffer.length, 0) !== page.crc) {
      const { file, position } = page.place as { file: number; position: number }
      this.onUnreadable(`${this.pathOf(file)}: the page at ${position} does not match its checksum`)
      return false
    }
    page.bytes = buffer
    this.arrived(page)
    return true
  }

  private forgetDead(): void {
    for (let left = this.resident.length; left > 0; left--) {
      const page = this.resident.shift() as IndexPage
      if (!page.isDead) this.resident.push(page)
    }
    this.deadPages = 0
  }

  private letGo(page: IndexPage): void {
    this.bytes -= page.residentBytes
    page.bytes = null
  }

  /** Makes room, unless that is being done. */
  private relieve(): void {
    if (this.bytes <= this.options.pageBytesMax || this.writing !== null || this.isClosed) return
    if (this.platform.clock.monotonicMs() - this.failedMs < retryMs) return
    const { pages, bytes } = this.choose()
    if (pages.length === 0) return
    this.writing = this.write(pages, pages, bytes).then(
      () => {
        this.writing = null
        this.relieve()
      },
      () => {
        // The disk takes no writes: pages stay in memory, and publishers are blocked because the log cannot go on either.
        this.writing = null
        this.failedMs = this.platform.clock.monotonicMs()
        for (const page of pages) {
          page.isMoving = false
          if (!page.isDead) this.resident.push(page)
        }
      },
    )
  }

  /** The pages that came first; those that are in a file already go at once. */
  private choose(): { pages: IndexPage[]; bytes: number } {
    const pages: IndexPage[] = []
    let bytes = 0
    for (let left = this.resident.length; left > 0 && bytes < writeBytesMax; left--) {
      const page = this.resident.shift() as IndexPage
      if (page.isDead || page.bytes === null) continue
      if (page.isTouched) {
        page.isTouched = false
        this.resident.push(page)
      } else if (page.place !== null) {
        this.letGo(page)
        if (this.bytes - bytes <= this.options.pageBytesMax * 0.9) break
      } else {
        page.isClosed = true
        page.isMoving = true
        pages.push(page)
        bytes += pageHeaderBytes + page.usedBytes
      }
    }
    return { pages, bytes }
  }

  private async write(pages: readonly IndexPage[], contents: readonly IndexPage[], bytes: number): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(bytes)
    let at = 0
    for (const content of contents) at = encodePage(content, buffer, at)
    const target = await this.target()
    const position = target.bytes
    target.isSynced = false
    try {
      await (target.file as DiskFile).write(buffer, 0, bytes, position)
    } catch (error) {
      target.isFull = true
      this.removeIfUnused(target)
      throw error
    } finally {
      // A sync that was asked for meanwhile may not have covered it.
      target.isSynced = false
    }
    target.bytes += bytes
    if (target.bytes >= this.options.pageFileBytesMax) target.isFull = true
    at = position
    for (const [which, page] of pages.entries()) {
      const content = contents[which] as IndexPage
      const place = { file: target.id, position: at }
      at += pageHeaderBytes + content.usedBytes
      content.place = place
      page.isMoving = false
      page.place = place
      page.crc = content.crc
      if (page.isDead) continue
      target.live++
      // A page that was written to make room goes; one that a checkpoint wanted is where it was.
      if (content !== page) continue
      if (page.isTouched) this.resident.push(page)
      else this.letGo(page)
    }
    this.removeIfUnused(target)
  }

  private async target(): Promise<PageFile> {
    if (this.current !== null && !this.current.isFull) return this.current
    const id = this.nextId++
    const path = this.pathOf(id)
    this.current = new PageFile(id, path, await this.disk.open(path, 'create'))
    this.files.set(id, this.current)
    this.namesToSync = true
    return this.current
  }

  /** Errors do not matter: what is left over goes with the next opening. */
  private removeIfUnused(file: PageFile): void {
    if (file.live > 0 || file.named > 0 || !file.isFull || this.isHeld) return
    this.files.delete(file.id)
    const remove = async (): Promise<void> => {
      await file.file?.close()
      await this.disk.remove(file.path)
    }
    remove().catch(() => {})
  }

  private pathOf(id: number): string {
    return `${this.directory}/${pageFileName(id)}`
  }
}

export function pageFileName(id: number): string {
  return `${String(id).padStart(10, '0')}.idx`
}

/** The id in a page file's name; 0 if it is not one. */
function pageFileIdOf(name: string): number {
  return /^\d{10}\.idx$/.test(name) ? Number(name.slice(0, 10)) : 0
}

function encodePage(page: IndexPage, target: Buffer, start: number): number {
  const bytes = page.bytes as Buffer
  page.crc = crc32(bytes, 0, page.usedBytes, 0)
  target.writeUInt32LE(pageMagic, start)
  target.writeUInt32LE(page.queueId, start + 4)
  target.writeUInt32LE(page.usedBytes, start + 8)
  target.writeUInt32LE(page.crc, start + 12)
  target.writeDoubleLE(page.firstSequence, start + 16)
  target.writeUInt32LE(page.count, start + 24)
  target.writeUInt32LE(0, start + 28)
  bytes.copy(target, start + pageHeaderBytes, 0, page.usedBytes)
  return start + pageHeaderBytes + page.usedBytes
}
