/** Which messages a damaged place of the log is about, for whoever is refused because of it. */
import {
  checkRecord,
  frameBytes,
  frameHeaderBytes,
  hasFrameMagic,
  isFrameHeader,
  recordHeaderBytes,
} from '../log/frame.ts'
import { LogError, storageCorrupt } from '../log/log-error.ts'
import { decodeSegmentHeader, framesStart, headerCopyOffset, Segment, segmentIdOf } from '../log/segment.ts'
import type { Disk } from '../platform/disk.ts'
import { routesIfAny } from './folder-records.ts'
import type { TopologyRecord } from './record.ts'

/** Further on nobody looks. */
const lookedBytesMax = 16 * 1024 * 1024
const messagesShown = 4

/** The error, with the messages that the damaged frame has if it has any that can still be told. */
export async function withMessages(disk: Disk, error: unknown, topology: readonly TopologyRecord[]): Promise<unknown> {
  if (!(error instanceof LogError) || error.code !== 'E_STORAGE_CORRUPT') return error
  const { file, offset, detail } = error
  const id = segmentIdOf(file?.slice(-14) ?? '')
  if (file === null || offset === null || id === 0 || offset < framesStart) return error
  // The error is what counts; what the disk does not give cannot be told.
  const messages = await messagesIn(disk, file, id, offset, namesOf(topology)).catch(() => [])
  if (messages.length === 0) return error
  const more = messages.length > messagesShown ? ` and ${messages.length - messagesShown} more` : ''
  return storageCorrupt(file, offset, `${detail} (${messages.slice(0, messagesShown).join(', ')}${more})`)
}

function namesOf(topology: readonly TopologyRecord[]): Map<number, string> {
  const names = new Map<number, string>()
  for (const record of topology) {
    if (record.type === 'queue-declared') names.set(record.queueId, record.name)
    if (record.type === 'queue-deleted') names.delete(record.queueId)
  }
  return names
}

/** Of records that are not whole, in the frame at `offset`; of queues that are there, for a flipped bit makes others. */
async function messagesIn(
  disk: Disk,
  path: string,
  id: number,
  offset: number,
  names: ReadonlyMap<number, string>,
): Promise<string[]> {
  const file = await disk.open(path, 'read')
  try {
    const head = Buffer.alloc(framesStart)
    await file.read(head, 0, head.length, 0)
    const header = decodeSegmentHeader(head, 0) ?? decodeSegmentHeader(head, headerCopyOffset)
    if (header === null) return []
    const { saltCrc } = new Segment('', header)
    const buffer = Buffer.allocUnsafeSlow(Math.min(lookedBytesMax, Math.max(0, (await file.size()) - offset)))
    const read = await file.read(buffer, 0, buffer.length, offset)
    const end = frameEnd(buffer, read, saltCrc)
    const messages: string[] = []
    for (let at = 0; at + recordHeaderBytes <= end; at++) {
      if (buffer.readUInt32LE(at + 16) !== id || buffer.readUInt32LE(at + 20) !== offset + at) continue
      if (checkRecord(buffer, at, end, saltCrc, id, offset + at) !== -1) continue
      const payloadStart = at + recordHeaderBytes
      const payloadEnd = Math.min(end, payloadStart + buffer.readUInt32LE(at + 4))
      const headerEnd = Math.min(payloadEnd, payloadStart + buffer.readUInt32LE(at + 12))
      for (const route of routesIfAny({
        type: buffer[at + 8] as number,
        buffer,
        payloadStart,
        headerEnd,
        payloadEnd,
      })) {
        const name = names.get(route.queueId)
        if (name !== undefined) messages.push(`message ${route.sequence} of queue '${name}'`)
      }
    }
    return messages
  } finally {
    await file.close()
  }
}

/** Where the frame at the start of the buffer ends: as it says itself, or where the next one begins. */
function frameEnd(buffer: Buffer, bytes: number, saltCrc: number): number {
  if (bytes >= frameHeaderBytes && isFrameHeader(buffer, 0, saltCrc)) return Math.min(bytes, frameBytes(buffer, 0))
  for (let at = 1; at + frameHeaderBytes <= bytes; at++) {
    if (hasFrameMagic(buffer, at) && isFrameHeader(buffer, at, saltCrc)) return at
  }
  return bytes
}
