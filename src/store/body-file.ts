/**
 * The file of a body that is too large for a record: `body/%010d.body`, written once and never changed.
 *
 *      0  8  magic 'LVRTBODY'                  24  8  bytes of the body
 *      8  2  version, 1                        32  8  salt
 *     10  2  reserved                          40  4  key id: 0, in clear
 *     12  4  bytes of a chunk                  44  4  CRC of bytes 0..43
 *     16  8  id                                48  …  chunks, the last one shorter: data | CRC u32
 *
 * The CRC of a chunk starts from that of the salt and the chunk's number, so neither the bytes of another file in the same
 * blocks nor those of another chunk pass for it. Little endian. The file is synced before a frame refers to it.
 */
import { crc32 } from '../lib/crc32.ts'
import { isErrorCode } from '../log/small-file.ts'
import type { BodySink, BodySinkEvents, BodySource } from '../model/bodies.ts'
import { Message } from '../model/message.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'

const magic = Buffer.from('LVRTBODY', 'latin1')
const version = 1
const headerBytes = 48
const crcBytes = 4
/** No version wrote larger ones. */
const chunkBytesCeiling = 67_108_864
/** More waits only if it came in one piece. */
const chunksWaitingMax = 2
const retryMs = 1_000

export function bodyName(id: number): string {
  return `${String(id).padStart(10, '0')}.body`
}

/** The id in the name of a body's file; 0 if it is not one. */
export function bodyIdIn(name: string): number {
  return /^\d{10,15}\.body$/.test(name) ? Number.parseInt(name, 10) : 0
}

interface BodyHeader {
  readonly id: number
  readonly bytes: number
  readonly chunkBytes: number
  readonly saltCrc: number
}

function encodeHeader(id: number, bytes: number, chunkBytes: number, salt: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes)
  magic.copy(header, 0)
  header.writeUInt16LE(version, 8)
  header.writeUInt32LE(chunkBytes, 12)
  header.writeUIntLE(id, 16, 6)
  header.writeUIntLE(bytes, 24, 6)
  salt.copy(header, 32)
  header.writeUInt32LE(crc32(header, 0, headerBytes - crcBytes, 0), headerBytes - crcBytes)
  return header
}

/** Null: this is no header. */
function decodeHeader(header: Buffer): BodyHeader | null {
  if (header.compare(magic, 0, magic.length, 0, magic.length) !== 0 || header.readUInt16LE(8) !== version) return null
  if (crc32(header, 0, headerBytes - crcBytes, 0) !== header.readUInt32LE(headerBytes - crcBytes)) return null
  return {
    id: header.readUIntLE(16, 6),
    bytes: header.readUIntLE(24, 6),
    chunkBytes: header.readUInt32LE(12),
    saltCrc: crc32(header, 32, 40, 0),
  }
}

function chunkCrc(buffer: Buffer, end: number, saltCrc: number, number: number): number {
  // The number spread over the bits of the seed: each chunk has another one.
  return crc32(buffer, 0, end, (saltCrc ^ Math.imul(number + 1, 0x9e3779b1)) >>> 0)
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** Whoever must know that a sync failed, and that a writer is done with its file. */
export interface BodyOwner {
  /** Resolves when the folder of the bodies is there for good; rejects if it cannot be made for now. */
  folderMade(): Promise<void>
  syncFailed(error: unknown): void
  /** The file is there for good, or nobody will refer to it. */
  settled(writer: BodyWriter, isThere: boolean): void
  wrote(bytes: number): void
  /** A write failed, and will be tried again. */
  stalled(): void
}

/** Writes a body that comes in pieces of any size. What cannot be written is tried again until it can. */
export class BodyWriter implements BodySink {
  readonly id: number
  readonly reference: Buffer
  private readonly platform: Platform
  private readonly path: string
  private readonly bytes: number
  private readonly chunkBytes: number
  private readonly events: BodySinkEvents
  private readonly owner: BodyOwner
  private readonly salt = Buffer.alloc(8)
  private readonly saltCrc: number
  private file: DiskFile | null = null
  /** The chunk being filled, and what is in it. */
  private chunk: Buffer | null = null
  private used = 0
  private taken = 0
  private readonly waiting: { readonly buffer: Buffer; readonly length: number }[] = []
  private readonly free: Buffer[] = []
  private position = headerBytes
  private chunkNumber = 0
  private isRunning = false
  private wasFull = false
  private isEnded = false
  private isAbandoned = false

  constructor(
    platform: Platform,
    path: string,
    id: number,
    bytes: number,
    chunkBytes: number,
    events: BodySinkEvents,
    owner: BodyOwner,
  ) {
    this.platform = platform
    this.path = path
    this.id = id
    this.bytes = bytes
    this.chunkBytes = chunkBytes
    this.events = events
    this.owner = owner
    this.reference = Message.reference(id, bytes)
    platform.random.fill(this.salt)
    this.saltCrc = crc32(this.salt, 0, this.salt.length, 0)
  }

  get isFull(): boolean {
    return this.waiting.length > chunksWaitingMax
  }

  write(buffer: Buffer, start: number, end: number): void {
    const { chunkBytes } = this
    for (let at = start; at < end; ) {
      this.chunk ??= this.free.pop() ?? Buffer.allocUnsafeSlow(Math.min(chunkBytes, this.bytes) + crcBytes)
      const piece = Math.min(end - at, chunkBytes - this.used)
      buffer.copy(this.chunk, this.used, at, at + piece)
      this.used += piece
      this.taken += piece
      at += piece
      if (this.used === chunkBytes || this.taken === this.bytes) this.seal(this.chunk)
    }
    this.wasFull ||= this.isFull
  }

  end(): void {
    this.isEnded = true
    this.start()
  }

  abandon(): void {
    this.isAbandoned = true
    this.start()
  }

  private seal(chunk: Buffer): void {
    chunk.writeUInt32LE(chunkCrc(chunk, this.used, this.saltCrc, this.chunkNumber++), this.used)
    this.waiting.push({ buffer: chunk, length: this.used + crcBytes })
    this.chunk = null
    this.used = 0
    this.start()
  }

  private start(): void {
    if (this.isRunning) return
    this.isRunning = true
    this.run().catch((error: unknown) => {
      // Only a fault of our own ends here: it must not look as if nothing had happened.
      throw error
    })
  }

  private async run(): Promise<void> {
    // Nothing is called back inside the call that caused it.
    await Promise.resolve()
    while (!this.isAbandoned && this.waiting.length > 0) {
      await this.writeNext()
      if (!this.wasFull || this.isFull || this.isAbandoned) continue
      this.wasFull = false
      this.events.drained()
    }
    if (this.isAbandoned) return this.remove()
    if (!this.isEnded) {
      this.isRunning = false
      return
    }
    try {
      await this.file?.sync()
      await this.closeFile()
      await this.platform.disk.syncDirectory(directoryOf(this.path))
    } catch (error) {
      this.owner.syncFailed(error)
      await this.closeFile().catch(() => {})
      // Whoever closes the folder waits for this one no more; the file is a leftover when it is opened next.
      this.owner.settled(this, false)
      return
    }
    if (this.isAbandoned) return this.remove()
    this.owner.settled(this, true)
    this.events.stored()
  }

  private async writeNext(): Promise<void> {
    const { buffer, length } = this.waiting[0] as { buffer: Buffer; length: number }
    try {
      this.file ??= await this.make()
      await this.file.write(buffer, 0, length, this.position)
    } catch {
      // No room, most likely: whoever publishes is told to wait, and there may be some later.
      this.owner.stalled()
      if (!this.isAbandoned) await new Promise<void>((resolve) => this.platform.clock.setTimer(retryMs, resolve))
      return
    }
    this.waiting.shift()
    this.position += length
    this.free.push(buffer)
    this.owner.wrote(length)
  }

  private async make(): Promise<DiskFile> {
    const { disk } = this.platform
    await this.owner.folderMade()
    const file = await disk.open(this.path, 'create').catch(async (error: unknown) => {
      if (!isErrorCode(error, 'EEXIST')) throw error
      // Nobody refers to a file of an id that was free: its publish never was.
      await disk.remove(this.path)
      return disk.open(this.path, 'create')
    })
    try {
      const header = encodeHeader(this.id, this.bytes, this.chunkBytes, this.salt)
      await file.write(header, 0, header.length, 0)
      return file
    } catch (error) {
      await file.close().catch(() => {})
      await disk.remove(this.path).catch(() => {})
      throw error
    }
  }

  private async closeFile(): Promise<void> {
    const { file } = this
    this.file = null
    await file?.close()
  }

  private async remove(): Promise<void> {
    const isMade = this.file !== null || this.position > headerBytes
    await this.closeFile().catch(() => {})
    if (isMade) await this.platform.disk.remove(this.path).catch(() => {})
    this.owner.settled(this, false)
  }
}

/** Why a body cannot be read, and where. */
export class BodyDamage extends Error {
  override readonly name: string = 'BodyDamage'
  readonly path: string
  readonly offset: number

  constructor(path: string, offset: number, detail: string) {
    super(detail)
    this.path = path
    this.offset = offset
  }
}

export interface BodyReaderEvents {
  /** Why it cannot be read. */
  damaged(damage: BodyDamage): void
  closed(): void
}

/** Reads the body of a message piece by piece, each checked. */
export class BodyReader implements BodySource {
  private readonly platform: Platform
  private readonly path: string
  private readonly id: number
  private readonly bytes: number
  private readonly events: BodyReaderEvents
  private file: DiskFile | null = null
  private header: BodyHeader | null = null
  private chunk: Buffer | null = null
  private number = 0
  private isClosed = false
  private isReading = false

  constructor(platform: Platform, path: string, id: number, bytes: number, events: BodyReaderEvents) {
    this.platform = platform
    this.path = path
    this.id = id
    this.bytes = bytes
    this.events = events
  }

  /** Rejects with a BodyDamage that names file and offset. */
  async next(): Promise<Buffer | null> {
    this.isReading = true
    try {
      return await this.read()
    } catch (error) {
      const isKnown = error instanceof BodyDamage
      const damage = isKnown ? error : new BodyDamage(this.path, 0, `it cannot be read: ${String(error)}`)
      this.events.damaged(damage)
      throw damage
    } finally {
      this.isReading = false
      if (this.isClosed) await this.end()
    }
  }

  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    if (!this.isReading) void this.end()
    this.events.closed()
  }

  private async end(): Promise<void> {
    const { file } = this
    this.file = null
    await file?.close().catch(() => {})
  }

  private async read(): Promise<Buffer | null> {
    this.file ??= await this.platform.disk.open(this.path, 'read')
    this.header ??= await this.readHeader(this.file)
    const { chunkBytes, bytes, saltCrc } = this.header
    const left = bytes - this.number * chunkBytes
    if (left <= 0) return null
    const length = Math.min(left, chunkBytes)
    this.chunk ??= Buffer.allocUnsafeSlow(length + crcBytes)
    const { chunk } = this
    const position = headerBytes + this.number * (chunkBytes + crcBytes)
    const read = await this.file.read(chunk, 0, length + crcBytes, position)
    if (read < length + crcBytes) throw new BodyDamage(this.path, position, 'the file of the body ends too early')
    if (chunk.readUInt32LE(length) !== chunkCrc(chunk, length, saltCrc, this.number)) {
      throw new BodyDamage(this.path, position, 'a chunk of the body does not match its checksum')
    }
    this.number++
    return chunk.subarray(0, length)
  }

  private async readHeader(file: DiskFile): Promise<BodyHeader> {
    const buffer = Buffer.alloc(headerBytes)
    await file.read(buffer, 0, headerBytes, 0)
    const header = decodeHeader(buffer)
    if (header === null || header.id !== this.id || header.bytes !== this.bytes || header.chunkBytes === 0) {
      throw new BodyDamage(this.path, 0, 'the header of the body is damaged, or that of another one')
    }
    return header
  }
}

/** A part of a body's file: its header, or a chunk. */
export interface BodyPart {
  readonly offset: number
  readonly bytes: number
  /** What is wrong with it; null: nothing. */
  readonly fault: string | null
  readonly text: string
}

/** The parts of a body's file, each checked: its header, then its chunks. Nothing behind a header that cannot be read. */
export async function* partsOf(file: DiskFile): AsyncGenerator<BodyPart> {
  const buffer = Buffer.alloc(headerBytes)
  await file.read(buffer, 0, headerBytes, 0)
  const header = decodeHeader(buffer)
  const fileBytes = await file.size()
  if (header === null || header.chunkBytes === 0 || header.chunkBytes > chunkBytesCeiling) {
    yield { offset: 0, bytes: Math.min(headerBytes, fileBytes), fault: 'no header of a body', text: '' }
    return
  }
  const { id, bytes, chunkBytes, saltCrc } = header
  const count = Math.ceil(bytes / chunkBytes)
  const text = `body ${id} of ${bytes} bytes in ${count} chunk${count === 1 ? '' : 's'}`
  yield { offset: 0, bytes: headerBytes, fault: null, text }
  const chunk = Buffer.allocUnsafeSlow(chunkBytes + crcBytes)
  let offset = headerBytes
  for (let number = 0; number < count; number++) {
    const length = Math.min(bytes - number * chunkBytes, chunkBytes)
    const read = await file.read(chunk, 0, length + crcBytes, offset)
    const isWhole = read === length + crcBytes
    const isRight = isWhole && chunk.readUInt32LE(length) === chunkCrc(chunk, length, saltCrc, number)
    const fault = isWhole ? 'a chunk of the body does not match its checksum' : 'the file of the body ends too early'
    yield { offset, bytes: length + crcBytes, fault: isRight ? null : fault, text: `chunk ${number + 1} of ${count}` }
    if (!isWhole) return
    offset += length + crcBytes
  }
  if (fileBytes > offset) {
    yield { offset, bytes: fileBytes - offset, fault: 'the file of the body goes on behind its end', text: '' }
  }
}
