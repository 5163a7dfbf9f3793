/**
 * Numbers are for ever: a frame's LSN, and a message's sequence in its queue. What each of them stood for is remembered over
 * all lives of a folder, and read from a copy of the disk with the log's own reader.
 */
import { ByteReader } from '../../lib/byte-reader.ts'
import { crc32 } from '../../lib/crc32.ts'
import { logOptionsDefault } from '../../log/log-options.ts'
import type { LogStart } from '../../log/log-start.ts'
import type { RecoverySink } from '../../log/recovery.ts'
import { SegmentedLog } from '../../log/segmented-log.ts'
import type { Disk } from '../../platform/disk.ts'
import { checkpointIdOf, decodeCheckpoint } from '../../store/checkpoint-file.ts'
import { recordTypes, routeBytes } from '../../store/record.ts'
import type { SimClock } from '../sim-clock.ts'
import type { SimDisk } from '../sim-disk.ts'
import { dataDirectory, onlyProcess } from './found-state.ts'

export class FrameHistory {
  /** 'frame 7' or 'queue 1 sequence 5' → a checksum of what it is. */
  private readonly known = new Map<string, number>()

  /** Takes what was found on a disk that a broker now serves; returns a number that means something else than before. */
  learn(found: ReadonlyMap<string, number>): string | null {
    for (const [name, crc] of found) {
      const known = this.known.get(name)
      if (known !== undefined && known !== crc) return name
      this.known.set(name, crc)
    }
    return null
  }
}

/** What the log on this disk says each number stands for. The disk is of no use afterwards. */
export async function readNumbers(clock: SimClock, disk: SimDisk): Promise<ReadonlyMap<string, number>> {
  const life = onlyProcess(clock, disk)
  const collector = new Collector()
  const findStart = (): Promise<LogStart | null> => newestStart(life.disk)
  await clock.run(SegmentedLog.open(life, dataDirectory, logOptionsDefault, collector, silentLog, findStart))
  life.kill()
  return collector.numbers
}

/** Where a recovery begins: what lies before it is proven, whatever the frames themselves say. */
async function newestStart(disk: Disk): Promise<LogStart | null> {
  const directory = `${dataDirectory}/ckpt`
  await disk.makeDirectory(directory)
  for (const name of (await disk.list(directory)).reverse()) {
    if (checkpointIdOf(name) === 0) continue
    const file = await disk.open(`${directory}/${name}`, 'read')
    const content = Buffer.alloc(await file.size())
    await file.read(content, 0, content.length, 0)
    await file.close()
    const checkpoint = decodeCheckpoint(content)
    if (checkpoint !== null) return checkpoint.start
  }
  return null
}

const silentLog = { durable: ignore, written: ignore, stalled: ignore, resumed: ignore, failed: ignore }

function ignore(): void {}

class Collector implements RecoverySink {
  readonly numbers: Map<string, number> = new Map()
  private frameCrc = 0

  record(
    type: number,
    _flags: number,
    buffer: Buffer,
    payloadStart: number,
    headerEnd: number,
    payloadEnd: number,
  ): void {
    this.frameCrc = crc32(buffer, payloadStart, payloadEnd, (this.frameCrc ^ type) >>> 0)
    if (type === recordTypes.publish) this.notePublish(buffer, payloadStart, headerEnd, payloadEnd)
  }

  frameEnd(lsn: number): void {
    this.numbers.set(`frame ${lsn}`, this.frameCrc)
    this.frameCrc = 0
  }

  private notePublish(buffer: Buffer, payloadStart: number, headerEnd: number, payloadEnd: number): void {
    const reader = new ByteReader(buffer, payloadStart, headerEnd)
    reader.utf8(reader.u8())
    reader.utf8(reader.u8())
    const routeCount = reader.u32le()
    const routesAt = reader.at
    const contentCrc = crc32(buffer, routesAt + routeCount * routeBytes, payloadEnd, 0)
    for (let at = routesAt; at < routesAt + routeCount * routeBytes; at += routeBytes) {
      const queueId = buffer.readUInt32LE(at)
      const sequence = buffer.readUIntLE(at + 4, 6)
      this.numbers.set(`queue ${queueId} sequence ${sequence}`, contentCrc)
    }
  }
}
