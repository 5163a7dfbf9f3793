/** Whether the pages that a checkpoint names are in their files as they were written. */
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
}

export function decodePageHead(buffer: Buffer, at: number): PageHead {
  return {
    isPage: buffer.toString('latin1', at, at + 4) === 'LVI1',
    queueId: buffer.readUInt32LE(at + 4),
    bytes: buffer.readUInt32LE(at + 8),
    crc: buffer.readUInt32LE(at + 12),
    firstSequence: buffer.readDoubleLE(at + 16),
    count: buffer.readUInt32LE(at + 24),
  }
}

export async function checkPages(view: FolderView, checkpoint: Checkpoint, findings: Findings): Promise<void> {
  for (const { queueId, lanes } of checkpoint.queues) {
    for (const { pages } of lanes) {
      for (const page of pages) if (page.place !== null) await checkPage(view, queueId, page, findings)
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
    head.count === count
  if (!isRight) tell('has a damaged header; its content is right')
}
