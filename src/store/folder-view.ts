/**
 * A data folder as it was at one moment, also while a broker goes on in it: a disk on which everything can be read that was
 * there then, and on which nothing can be changed.
 *
 *     newest whole checkpoint → page files, cold segments, bodies → segments → how long is each → is that checkpoint still there?
 *
 * Every file is opened at once, so that it can be read to its end whatever becomes of its name. A broker deletes what a
 * checkpoint needs only after that checkpoint's own name has gone: if the name is still there when all else is open,
 * nothing is missing because of the broker. The last segment counts as far as it went when its length was asked for, which
 * is what a crash at that moment would have left.
 *
 * What is written to a view stays in memory and is seen in that view alone: recovery can be run on it as if it were real,
 * and its judgement is the real one.
 */
import { segmentIdOf } from '../log/segment.ts'
import { isErrorCode, readSmallFile } from '../log/small-file.ts'
import type { Disk, DiskFile, DiskLock } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { type Checkpoint, checkpointIdOf, decodeCheckpoint } from './checkpoint-file.ts'
import { FolderError } from './folder-error.ts'
import { pageFileName } from './page-files.ts'

const attemptsMax = 100
/** So often bodies are looked for until the log has not gone on meanwhile. */
const lateLooksMax = 20
const folders = {
  log: /^\d{10}\.log$/,
  cold: /^\d{10}\.cold$/,
  ckpt: /^\d{10}\.ckpt$/,
  idx: /^\d{10}\.idx$/,
  body: /^\d{10,15}\.body$/,
} as const
const quarantine = 'quarantine/'

export interface FoundCheckpoint {
  readonly name: string
  /** Null if it is damaged. */
  readonly checkpoint: Checkpoint | null
  /** Page files that it names and that are not there. */
  readonly missing: readonly string[]
}

/** A file that was there when the view was taken. */
export interface ViewedFile {
  /** From the folder on, with slashes. */
  readonly name: string
  readonly bytes: number
}

export class FolderView implements Disk {
  readonly directory: string
  /** What there was, in order: FORMAT, segments, cold segments, checkpoints, page files, bodies. */
  readonly files: readonly ViewedFile[]
  /** Newest first. */
  readonly checkpoints: readonly FoundCheckpoint[]
  /** What the LOCK file said, or null. */
  readonly lockText: string | null
  /** Told of bytes that were read. */
  onRead: (bytes: number) => void = () => {}
  private readonly pins: Pins
  private readonly contents: Map<string, Content>

  private constructor(pins: Pins, contents: Map<string, Content>) {
    this.pins = pins
    this.directory = pins.directory
    this.files = pins.files
    this.checkpoints = pins.checkpoints
    this.lockText = pins.lockText
    this.contents = contents
  }

  /** Looks at a folder. Rejects with E_NO_FOLDER if there is none, E_FOLDER_CHANGING if it will not hold still. */
  static async take(disk: Disk, directory: string): Promise<FolderView> {
    await needFolder(disk, directory)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const pins = new Pins(disk, directory)
      if (await pins.take()) {
        const contents = new Map([...pins.open].map(([name, { file, bytes }]) => [name, new Content(file, bytes)]))
        return new FolderView(pins, contents)
      }
      await pins.close()
    }
    throw new FolderError(
      'E_FOLDER_CHANGING',
      `${directory} changes faster than it can be looked at: try again when less is going on there`,
    )
  }

  /** The same moment once more, without what was written to this view. */
  fork(): FolderView {
    const contents = new Map([...this.pins.open].map(([name, { file, bytes }]) => [name, new Content(file, bytes)]))
    const fork = new FolderView(this.pins, contents)
    fork.onRead = (bytes) => this.onRead(bytes)
    return fork
  }

  /** What a part of the broker needs to work on the view. */
  platform(platform: Platform): Platform {
    const { clock, network, random, crypto, host } = platform
    return { clock, disk: this, network, random, crypto, host }
  }

  /** The newest checkpoint that recovery would use. */
  get checkpoint(): FoundCheckpoint | null {
    return this.checkpoints.find(({ checkpoint, missing }) => checkpoint !== null && missing.length === 0) ?? null
  }

  has(name: string): boolean {
    return this.contents.has(name)
  }

  /** Reads a file of the folder by its name there; as DiskFile.read. */
  async readAt(name: string, buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    const file = await this.open(`${this.directory}/${name}`, 'read')
    return file.read(buffer, start, end, position)
  }

  /** Lets go of the files, for all forks. */
  close(): Promise<void> {
    return this.pins.close()
  }

  // ------------------------------------------------------------------------------------------------------- Disk

  async open(path: string, mode: 'create' | 'read' | 'write'): Promise<DiskFile> {
    const name = this.nameOf(path)
    let content = this.contents.get(name)
    if (mode === 'create') {
      if (content !== undefined) throw systemError('EEXIST', path)
      content = new Content(null, 0)
      content.isKept = !name.startsWith(quarantine)
      this.contents.set(name, content)
    }
    if (content === undefined) throw systemError('ENOENT', path)
    return new ViewFile(this, content)
  }

  async list(path: string): Promise<string[]> {
    const prefix = `${this.nameOf(path)}/`
    const names = [...this.contents.keys()].filter((name) => name.startsWith(prefix))
    return names.map((name) => name.slice(prefix.length)).sort()
  }

  async makeDirectory(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    const content = this.contents.get(this.nameOf(from))
    if (content === undefined) throw systemError('ENOENT', from)
    this.contents.delete(this.nameOf(from))
    this.contents.set(this.nameOf(to), content)
  }

  async remove(path: string): Promise<void> {
    if (!this.contents.delete(this.nameOf(path))) throw systemError('ENOENT', path)
  }

  async link(from: string, to: string): Promise<void> {
    const content = this.contents.get(this.nameOf(from))
    if (content === undefined) throw systemError('ENOENT', from)
    this.contents.set(this.nameOf(to), content)
  }

  /** Nothing is written. */
  async freeBytes(): Promise<number> {
    return Number.POSITIVE_INFINITY
  }

  /** Nobody else can write to a view. */
  async fileSystemType(): Promise<number> {
    return 0
  }

  async syncDirectory(): Promise<void> {}

  /** Nobody else is in the view. */
  async lock(): Promise<DiskLock | null> {
    return { release: async () => {} }
  }

  private nameOf(path: string): string {
    return path.startsWith(`${this.directory}/`) ? path.slice(this.directory.length + 1) : path
  }
}

/** What a file is in one view: a real one up to a length, or bytes in memory. */
class Content {
  readonly file: DiskFile | null
  bytes: number
  memory: Buffer = Buffer.alloc(0)
  /** False: somebody wants to keep what nobody will read. */
  isKept = true

  constructor(file: DiskFile | null, bytes: number) {
    this.file = file
    this.bytes = bytes
  }

  write(buffer: Buffer, start: number, end: number, position: number): void {
    this.bytes = Math.max(this.bytes, position + end - start)
    if (!this.isKept) return
    if (this.bytes > this.memory.length) {
      const grown = Buffer.alloc(this.bytes)
      this.memory.copy(grown)
      this.memory = grown
    }
    buffer.copy(this.memory, position, start, end)
  }
}

class ViewFile implements DiskFile {
  private readonly view: FolderView
  private readonly content: Content

  constructor(view: FolderView, content: Content) {
    this.view = view
    this.content = content
  }

  async write(buffer: Buffer, start: number, end: number, position: number): Promise<void> {
    const { content } = this
    if (content.file !== null) throw systemError('EROFS', 'a view of a folder')
    content.write(buffer, start, end, position)
  }

  async read(buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    const { content } = this
    const wanted = Math.min(end - start, content.bytes - position)
    if (wanted <= 0) return 0
    if (content.file === null) return content.memory.copy(buffer, start, position, position + wanted)
    const read = await content.file.read(buffer, start, start + wanted, position)
    this.view.onRead(read)
    return read
  }

  readNow(buffer: Buffer, start: number, end: number, position: number): number {
    const { content } = this
    const wanted = Math.min(end - start, content.bytes - position)
    if (wanted <= 0) return 0
    if (content.file === null) return content.memory.copy(buffer, start, position, position + wanted)
    const read = content.file.readNow(buffer, start, start + wanted, position)
    this.view.onRead(read)
    return read
  }

  async sync(): Promise<void> {}

  async size(): Promise<number> {
    return this.content.bytes
  }

  async truncate(size: number): Promise<void> {
    this.content.bytes = size
  }

  async close(): Promise<void> {}
}

interface Pin {
  readonly file: DiskFile
  bytes: number
}

/** Files of a folder that are held open. */
class Pins {
  readonly directory: string
  readonly open = new Map<string, Pin>()
  readonly checkpoints: FoundCheckpoint[] = []
  files: ViewedFile[] = []
  lockText: string | null = null
  private readonly disk: Disk
  private lastSegment = ''
  private isClosed = false

  constructor(disk: Disk, directory: string) {
    this.disk = disk
    this.directory = directory
  }

  /** False if the folder changed in a way that leaves it open what there was. */
  async take(): Promise<boolean> {
    try {
      return await this.pin()
    } catch (error) {
      await this.close()
      // Something went between its name and its opening.
      if (isErrorCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    for (const { file } of this.open.values()) await file.close().catch(() => {})
  }

  private async pin(): Promise<boolean> {
    const before = await this.names('ckpt')
    for (const name of before) await this.pinIfThere(`ckpt/${name}`)
    for (const folder of ['idx', 'cold'] as const) {
      for (const name of await this.names(folder)) await this.pinIfThere(`${folder}/${name}`)
    }
    await this.findCheckpoints(before)
    if (!(await this.pinSegments())) return false
    // There may be many, and the log has gone on meanwhile.
    if ((await this.pinBodies()) !== 'none' && !(await this.pinSegments())) return false
    // Before the last look at the checkpoints: what the log says behind this may be that segments are needed no more.
    await this.measure((name) => !name.startsWith('body/'))
    if (!(await this.pinLateBodies())) return false
    const after = await this.names('ckpt')
    if (!this.isStillThere(before, after)) return false
    for (const name of before) if (!after.includes(name)) await this.forget(name)
    // It is replaced before the first checkpoint.
    await this.pinIfThere('FORMAT')
    this.lockText = await readSmallFile(this.disk, `${this.directory}/LOCK`)
    await this.measure()
    this.files = [...this.open].map(([name, { bytes }]) => ({ name, bytes })).sort(byKindAndName)
    return true
  }

  /** False if one may have been overlooked. */
  private async pinSegments(): Promise<boolean> {
    const segments = await this.names('log')
    for (const name of segments) if (!this.open.has(`log/${name}`)) await this.pinFile(`log/${name}`)
    this.lastSegment = segments.at(-1) ?? ''
    // A listing may have missed a file that was made meanwhile, but seen one that was made after it.
    const last = segmentIdOf(this.lastSegment)
    const isOverlooked = (name: string): boolean => segmentIdOf(name) < last && !segments.includes(name)
    return !(await this.names('log')).some(isOverlooked)
  }

  /** 'none': there never was one; 'some': one has gone before it could be opened. */
  private async pinBodies(): Promise<'none' | 'some' | 'all'> {
    const names = await this.namesIfThere('body')
    if (names === null) return 'none'
    let found: 'some' | 'all' = 'all'
    for (const name of names) {
      if (!this.open.has(`body/${name}`) && !(await this.pinIfThere(`body/${name}`))) found = 'some'
    }
    return found
  }

  /**
   * Bodies that came while others were looked at. One that goes before the log is measured is not needed any more, one that
   * comes after that not yet; only one that does both would be missing, and for that the log must go on in between.
   */
  private async pinLateBodies(): Promise<boolean> {
    const last = this.open.get(`log/${this.lastSegment}`)
    for (let left = lateLooksMax; left > 0; left--) {
      if ((await this.pinBodies()) === 'none' || last === undefined) return true
      last.bytes = await last.file.size()
      const isWhole = (await this.pinBodies()) === 'all'
      // Where the log never rests: no body comes and goes as fast as that.
      const isEnough = left === 1 || (await last.file.size()) === last.bytes
      if (isWhole && isEnough) return (await this.names('log')).at(-1) === this.lastSegment
    }
    return false
  }

  /** How long each file is that was not measured yet. */
  private async measure(isMeant: (name: string) => boolean = () => true): Promise<void> {
    for (const [name, pin] of this.open) if (pin.bytes === -1 && isMeant(name)) pin.bytes = await pin.file.size()
  }

  private isStillThere(before: readonly string[], after: readonly string[]): boolean {
    const used = this.checkpoints.find(({ checkpoint, missing }) => checkpoint !== null && missing.length === 0)
    return used === undefined ? before.join(' ') === after.join(' ') : after.includes(used.name)
  }

  private async findCheckpoints(names: readonly string[]): Promise<void> {
    for (const name of [...names].reverse()) {
      const pin = this.open.get(`ckpt/${name}`)
      if (pin === undefined) continue
      const content = Buffer.allocUnsafeSlow(await pin.file.size())
      const bytes = await pin.file.read(content, 0, content.length, 0)
      const decoded = decodeCheckpoint(content.subarray(0, bytes))
      const checkpoint = decoded?.id === checkpointIdOf(name) ? decoded : null
      const pageFiles = checkpoint?.pageFiles.map((id) => `idx/${pageFileName(id)}`) ?? []
      this.checkpoints.push({ name, checkpoint, missing: pageFiles.filter((file) => !this.open.has(file)) })
    }
  }

  /** An older checkpoint that went meanwhile, and perhaps what only it named. */
  private async forget(name: string): Promise<void> {
    const pin = this.open.get(`ckpt/${name}`)
    this.open.delete(`ckpt/${name}`)
    await pin?.file.close()
    const at = this.checkpoints.findIndex((found) => found.name === name)
    if (at !== -1) this.checkpoints.splice(at, 1)
  }

  private async names(folder: keyof typeof folders): Promise<string[]> {
    return (await this.namesIfThere(folder)) ?? []
  }

  private async namesIfThere(folder: keyof typeof folders): Promise<string[] | null> {
    try {
      const names = await this.disk.list(`${this.directory}/${folder}`)
      return names.filter((name) => folders[folder].test(name))
    } catch (error) {
      if (isErrorCode(error, 'ENOENT')) return null
      throw error
    }
  }

  private async pinFile(name: string): Promise<void> {
    this.open.set(name, { file: await this.disk.open(`${this.directory}/${name}`, 'read'), bytes: -1 })
  }

  private async pinIfThere(name: string): Promise<boolean> {
    try {
      await this.pinFile(name)
      return true
    } catch (error) {
      if (!isErrorCode(error, 'ENOENT')) throw error
      return false
    }
  }
}

async function needFolder(disk: Disk, directory: string): Promise<void> {
  const names = await disk.list(directory).catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT')) throw new FolderError('E_NO_FOLDER', `there is no folder ${directory}`, error)
    if (isErrorCode(error, 'ENOTDIR')) throw new FolderError('E_NO_FOLDER', `${directory} is not a folder`, error)
    throw error
  })
  if (names.includes('FORMAT')) return
  const segments = names.includes('log') ? await disk.list(`${directory}/log`).catch(() => []) : []
  if (segments.some((name) => segmentIdOf(name) > 0)) return
  throw new FolderError('E_NO_FOLDER', `${directory} is not a folder of Leveret's: it has neither FORMAT nor segments`)
}

function byKindAndName(left: ViewedFile, right: ViewedFile): number {
  const kinds = ['FORMAT', 'log', 'cold', 'ckpt', 'idx', 'body']
  const kindOf = ({ name }: ViewedFile): number => kinds.indexOf(name.split('/')[0] as string)
  return kindOf(left) - kindOf(right) || (left.name < right.name ? -1 : 1)
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code, syscall: 'open', path })
}
