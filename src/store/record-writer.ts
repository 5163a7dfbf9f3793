/** Writes records (record.ts) into the log's open frame: all but the PUBLISH ones, which publish-writer.ts writes in place. */
import { ByteWriter } from '../lib/byte-writer.ts'
import { copyRange } from '../lib/copy-range.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Note } from './notes.ts'
import type { BackedIndex } from './queue-index-backing.ts'
import { RangeList } from './range-list.ts'
import { criticalFlag, encodeNote, encodeTopology, recordTypes, type TopologyRecord } from './record.ts'

export class RecordWriter {
  private readonly log: SegmentedLog
  private readonly payload = new ByteWriter(256)

  constructor(log: SegmentedLog) {
    this.log = log
  }

  topology(record: TopologyRecord): void {
    this.payload.length = 0
    encodeTopology(this.payload, record)
    this.append(recordTypes.topology)
  }

  note(note: Note): void {
    this.payload.length = 0
    encodeNote(this.payload, note)
    this.append(recordTypes.note)
  }

  /** What is settled of the queue and the log has not heard of. */
  settled({ queueId, settled }: BackedIndex): void {
    const { payload } = this
    payload.length = 0
    payload.u32le(queueId)
    payload.u8(0)
    settled.encode(payload)
    this.append(recordTypes.settled)
  }

  /** All is gone from the queue but what consumers hold. */
  purged(index: BackedIndex): void {
    const { payload } = this
    const held = new RangeList()
    index.forEachHeld((entry) => {
      if (entry.logged) held.add(entry.sequence)
    })
    payload.length = 0
    payload.u32le(index.queueId)
    payload.varint(index.nextSequence)
    held.encode(payload)
    this.append(recordTypes.purged)
  }

  /** Of what stays in the queue, these were handed out before. */
  delivered(queueId: number, sequences: RangeList): void {
    const { payload } = this
    payload.length = 0
    payload.u32le(queueId)
    sequences.encode(payload)
    this.append(recordTypes.delivered)
  }

  /** Nothing follows in this epoch. */
  clean(): void {
    this.payload.length = 0
    this.payload.varint(this.log.openSegment.epoch)
    this.append(recordTypes.clean)
  }

  private append(type: number): void {
    const { log, payload } = this
    const start = log.begin(type, criticalFlag, payload.length)
    copyRange(payload.buffer, 0, payload.length, log.buffer, start)
    log.end(start + payload.length, start + payload.length)
  }
}
