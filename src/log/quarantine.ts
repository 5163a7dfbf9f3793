/** The folder quarantine/: what opening a log takes out of it is put there, for people to look at. */
import { assert } from '../lib/assert.ts'
import type { Disk } from '../platform/disk.ts'
import type { FoundSegment } from './found-segments.ts'
import { segmentName } from './segment.ts'
import { removeIfThere } from './small-file.ts'

const copyBytesMax = 4 * 1024 * 1024

export class Quarantine {
  /** The names of the files made. */
  readonly names: string[] = []
  private readonly disk: Disk
  private readonly logDirectory: string
  private readonly quarantineDirectory: string

  constructor(disk: Disk, logDirectory: string, quarantineDirectory: string) {
    this.disk = disk
    this.logDirectory = logDirectory
    this.quarantineDirectory = quarantineDirectory
  }

  async setTemporariesAside(): Promise<void> {
    for (const name of await this.disk.list(this.logDirectory)) {
      if (name.endsWith('.tmp')) await this.setFileAside(name)
    }
  }

  async setFileAside(name: string): Promise<void> {
    const { disk } = this
    const taken = await disk.list(this.quarantineDirectory)
    let number = 1
    while (taken.includes(`${name}.${number}`)) number++
    await disk.rename(`${this.logDirectory}/${name}`, `${this.quarantineDirectory}/${name}.${number}`)
    await disk.syncDirectory(this.quarantineDirectory)
    await disk.syncDirectory(this.logDirectory)
    this.names.push(`${name}.${number}`)
  }

  /** The salt in the name makes a second recovery after a crash replace this very copy, and no other. */
  async copyAside(found: FoundSegment, from: number, to: number, why: 'torn' | 'damaged'): Promise<void> {
    const { disk } = this
    const { segment, file } = found
    assert(file !== null, 'what is copied was read')
    const name = `${segmentName(segment.id)}.${segment.salt.toString('hex')}.${from}.${why}`
    const temporary = `${this.quarantineDirectory}/${name}.tmp`
    await removeIfThere(disk, temporary)
    const copy = await disk.open(temporary, 'create')
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.min(copyBytesMax, to - from))
      for (let offset = from; offset < to; ) {
        const bytes = await file.read(buffer, 0, Math.min(buffer.length, to - offset), offset)
        if (bytes === 0) break
        await copy.write(buffer, 0, bytes, offset - from)
        offset += bytes
      }
      await copy.sync()
    } finally {
      await copy.close()
    }
    await disk.rename(temporary, `${this.quarantineDirectory}/${name}`)
    await disk.syncDirectory(this.quarantineDirectory)
    this.names.push(name)
  }
}
