/** What lies behind an invalid frame: it tells a torn tail from damage, and where salvage can go on. */
import type { FoundSegment } from './found-segments.ts'
import { frameHeaderBytes, frameLsn, frameMagicBytes, frameSyncedLsn, isFrameHeader } from './frame.ts'
import { findFault, loadFrame } from './frame-check.ts'
import type { Segment } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'
import type { Watermarks } from './watermarks.ts'

const searchBytesMax = 4 * 1024 * 1024

/**
 * Whether the invalid frame number `lsn` at `offset` of the last segment is one that nobody was told of. A header that
 * is valid counts as a witness even if its records are not: it was written when what it calls synced was synced. An LSN
 * below n is no witness: somebody may have sent a copy of this very file as a message.
 */
export async function isTorn(
  reader: SegmentReader,
  found: FoundSegment,
  offset: number,
  lsn: number,
  watermarks: Watermarks,
): Promise<boolean> {
  let from = offset
  while (from + frameHeaderBytes <= found.fileBytes) {
    const wanted = Math.min(searchBytesMax, found.fileBytes - from)
    const at = await reader.load(from, wanted)
    if (at === -1) break
    const end = at + wanted
    let hit = reader.buffer.indexOf(frameMagicBytes, at)
    while (hit !== -1 && hit + frameHeaderBytes <= end) {
      if (isFrameHeader(reader.buffer, hit, found.segment.saltCrc)) {
        const hitLsn = frameLsn(reader.buffer, hit)
        watermarks.noteUsed(hitLsn)
        watermarks.noteSynced(frameSyncedLsn(reader.buffer, hit))
        // Frame n+1 is written when frame n is synced, unless syncing is put off: then only S tells.
        if (hitLsn > lsn && !found.segment.isDeferred) return false
      }
      hit = reader.buffer.indexOf(frameMagicBytes, hit + 1)
    }
    from += wanted - frameHeaderBytes + 1
  }
  return lsn > watermarks.syncedLsn
}

/** The next whole valid frame with an LSN after `lsn`'s predecessor; `limit` if there is none. */
export async function findFrame(
  reader: SegmentReader,
  segment: Segment,
  from: number,
  limit: number,
  lsn: number,
): Promise<number> {
  let offset = from
  while (offset + frameHeaderBytes <= limit) {
    const wanted = Math.min(searchBytesMax, limit - offset)
    const at = await reader.load(offset, wanted)
    if (at === -1) break
    const hit = reader.buffer.indexOf(frameMagicBytes, at)
    if (hit === -1 || hit + frameHeaderBytes > at + wanted) {
      offset += wanted - frameHeaderBytes + 1
      continue
    }
    const hitOffset = offset + hit - at
    const frameAt = await loadFrame(reader, hitOffset, limit)
    if (frameAt !== -1 && findFault(reader.buffer, frameAt, segment, hitOffset, limit, null) === null) {
      if (frameLsn(reader.buffer, frameAt) >= lsn) return hitOffset
    }
    offset = hitOffset + 1
  }
  return limit
}
