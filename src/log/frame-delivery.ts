/** The way of a frame from the log to the caller: its records one by one, but those that are the log's own. */
import {
  frameHeaderBytes,
  frameLsn,
  frameRealtimeMs,
  ownRecordTypeMin,
  recordFlagCritical,
  recordHeaderBytes,
  recordTypeRetained,
  recordTypeSynced,
} from './frame.ts'
import { formatUnsupported } from './log-error.ts'
import type { RecoveryReport } from './recovery-report.ts'
import type { Retention } from './retention.ts'
import type { Segment } from './segment.ts'

/** Gets every record that survives, in order. The buffer is only valid during the call. */
export interface RecoverySink {
  /** The header part of the payload is `buffer[payloadStart, headerEnd)`; `recordOffset` tells where the record stands. */
  record(
    type: number,
    flags: number,
    buffer: Buffer,
    payloadStart: number,
    headerEnd: number,
    payloadEnd: number,
    segment: Segment,
    lsn: number,
  ): void
  frameEnd(lsn: number, realtimeMs: number): void
}

export class FrameDelivery {
  /** Frames of the last segment that are proven durable: only such are delivered. */
  provenFrames = 0
  private readonly sink: RecoverySink
  private readonly retention: Retention
  private readonly report: RecoveryReport

  constructor(sink: RecoverySink, retention: Retention, report: RecoveryReport) {
    this.sink = sink
    this.retention = retention
    this.report = report
  }

  deliver(buffer: Buffer, start: number, end: number, segment: Segment): void {
    const lsn = frameLsn(buffer, start)
    this.report.frames++
    let at = start + frameHeaderBytes
    while (at < end) {
      const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4)
      this.deliverRecord(buffer, at, recordEnd, segment, lsn)
      at = recordEnd
    }
    this.endFrame(lsn, frameRealtimeMs(buffer, start))
  }

  deliverRecord(buffer: Buffer, at: number, recordEnd: number, segment: Segment, lsn: number): void {
    const type = buffer[at + 8] as number
    const flags = buffer[at + 9] as number
    const payloadStart = at + recordHeaderBytes
    this.report.records++
    if (type < ownRecordTypeMin) {
      const headerEnd = payloadStart + buffer.readUInt32LE(at + 12)
      this.sink.record(type, flags, buffer, payloadStart, headerEnd, recordEnd, segment, lsn)
    } else if (type === recordTypeRetained) {
      this.retention.note(buffer, payloadStart, recordEnd)
    } else if (type !== recordTypeSynced && (flags & recordFlagCritical) !== 0) {
      throw formatUnsupported(segment.path, 'a newer version of Leveret', `critical record type ${type} is unknown`)
    }
  }

  endFrame(lsn: number, realtimeMs: number): void {
    this.provenFrames++
    this.sink.frameEnd(lsn, realtimeMs)
  }
}
