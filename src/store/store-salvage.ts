/**
 * What a salvage makes of a store whose log was read and is damaged, or not there as the checkpoint tells of it:
 *
 *     pages of indexes  made again from the records they told of     index-salvage.ts
 *     entries           without those whose record or body is gone
 *     topology          without what is about nothing that is known  topology-salvage.ts
 *     queues            declared anew where messages name them
 *
 * All of it is told in `notes`.
 */
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Disk } from '../platform/disk.ts'
import type { Bodies, MissingBodies } from './bodies.ts'
import type { Checkpoint } from './checkpoint-file.ts'
import { IndexSalvage } from './index-salvage.ts'
import type { QueueIndex } from './queue-index.ts'
import type { TopologyRecord } from './record.ts'
import type { Replay, Unreadable } from './replay.ts'
import { consistentTopology, rescuedQueues } from './topology-salvage.ts'

/** How a note ends that tells of a damaged part of the log. */
export const leftOut = '; this was left out'

export class StoreSalvage implements Unreadable {
  private readonly log: SegmentedLog
  private readonly checkpoint: Checkpoint | null
  private readonly indexes: IndexSalvage
  private missingBodies: MissingBodies | null = null
  private readonly unknown: TopologyRecord[] = []

  /** `missing`: cold segments that the checkpoint names and that are not there. */
  constructor(
    disk: Disk,
    directory: string,
    log: SegmentedLog,
    checkpoint: Checkpoint | null,
    missing: readonly Segment[],
  ) {
    const isMissing = (id: number): boolean => log.segmentOf(id) === null || missing.some((one) => one.id === id)
    this.log = log
    this.checkpoint = checkpoint
    this.indexes = new IndexSalvage(disk, directory, log, isMissing)
  }

  /** Before the replay ends. */
  async begin(replay: Replay, bodies: Bodies): Promise<void> {
    await this.indexes.rescuePages(this.checkpoint, replay)
    this.missingBodies = await bodies.findMissing()
  }

  goneOf(index: QueueIndex): number[] {
    return [...this.indexes.goneOf(index), ...(this.missingBodies?.goneOf(index.queueId) ?? [])]
  }

  /** Whether indexes are not what the checkpoint says. */
  get hasChangedIndexes(): boolean {
    return this.indexes.notes.length > 0 || (this.missingBodies?.notes.length ?? 0) > 0
  }

  consistent(topology: readonly TopologyRecord[]): TopologyRecord[] {
    return consistentTopology(topology, this.unknown)
  }

  /** Declarations that are lost, as far as is known, of queues that have messages. */
  lostQueues(recovered: ReadonlyMap<number, QueueIndex>, topology: readonly TopologyRecord[]): TopologyRecord[] {
    const mayBeLost = this.checkpoint === null || this.log.recovery.damages.length > 0
    return mayBeLost ? rescuedQueues(recovered, topology) : []
  }

  /** What was found and done, in words for people. */
  get notes(): string[] {
    return [
      ...this.log.recovery.damages.map(({ file, offset, detail }) => `${file} at ${offset}: ${detail}${leftOut}`),
      ...this.indexes.notes,
      ...this.unknown.map(({ type }) => `'${type}' was left out: what it is about is not known`),
      ...(this.missingBodies?.notes ?? []),
    ]
  }
}
