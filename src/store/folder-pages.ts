/** Whether the pages that checkpoints name are in their files as they were written. */
import { crc32 } from '../lib/crc32.ts'
import type { Checkpoint } from './checkpoint-file.ts'
import type { Findings } from './folder-findings.ts'
import type { FolderView } from './folder-view.ts'
import { IndexPage } from './index-page.ts'
import { pageFileName, pageHeaderBytes } from './page-files.ts'

/** What the header of a page in a file says; see page-files.ts. */
export interface PageHead {
  readonly isPage: boolean
  readonly queueId: number
  readonly bytes: number
  readonly crc: number
  readonly firstSequence: number
  readonly count: number
  readonly reserved: number
}

export function decodePageHead(buffer: Buffer, at: number): PageHead {
  return {
    isPage: buffer.toString('latin1', at, at + 4) === 'LVI1',
    queueId: buffer.readUInt32LE(at + 4),
    bytes: buffer.readUInt32LE(at + 8),
    crc: buffer.readUInt32LE(at + 12),
    firstSequence: buffer.readDoubleLE(at + 16),
    count: buffer.readUInt32LE(at + 24),
    reserved: buffer.readUInt32LE(at + 28),
  }
}

/** Each page once, however many checkpoints name it; `checkpoints` has the newest first. */
export async function checkPages(
  view: FolderView,
  checkpoints: readonly Checkpoint[],
  findings: Findings,
): Promise<void> {
  const checked = new Set<string>()
  for (const { queues } of checkpoints) {
    for (const { queueId, lanes } of queues) {
      for (const page of lanes.flatMap(({ pages }) => pages)) {
        const place = page.place === null ? '' : `${page.place.file} ${page.place.position}`
        if (page.place === null || checked.has(place)) continue
        checked.add(place)
        await checkPage(view, queueId, page, findings)
      }
    }
  }
}

async function checkPage(view: FolderView, queueId: number, page: IndexPage, findings: Findings): Promise<void> {
  const { place, usedBytes, crc } = page
  if (place === null) return
  const file = `idx/${pageFileName(place.file)}`
  const bytes = pageHeaderBytes + usedBytes
  const buffer = Buffer.allocUnsafeSlow(bytes)
  const read = view.has(file) ? await view.readAt(file, buffer, 0, bytes, place.position) : 0
  const { firstSequence, lastSequence, count, passed } = page
  const tell = (detail: string): void => {
    const which = `the page of queue number ${queueId} with ${count - passed} messages up to ${lastSequence}`
    findings.add('damage', file, place.position, bytes, `${which} ${detail}`)
  }
  if (read !== bytes) return tell('is cut short')
  if (crc32(buffer, pageHeaderBytes, bytes, 0) !== crc) return tell('does not match its checksum')
  const head = decodePageHead(buffer, 0)
  const isRight =
    head.isPage &&
    head.queueId === queueId &&
    head.bytes === usedBytes &&
    head.crc === crc &&
    head.firstSequence === firstSequence &&
    head.count === count &&
    head.reserved === 0
  if (!isRight) tell('has a damaged header; its content is right')
}
