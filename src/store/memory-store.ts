/** The store that forgets with the process: `memory:`. Nothing is logged, so nothing waits. */
import { Notes } from './notes.ts'
import { QueueIndex } from './queue-index.ts'
import type { TopologyRecord } from './record.ts'
import { ResidentMemory } from './resident-memory.ts'
import type { LoadReport, PublishLog, Store } from './store.ts'

export class MemoryStore implements Store {
  readonly persists = false
  readonly durability = 'none'
  readonly openLsn = 0
  readonly durableLsn = 0
  readonly answerableLsn = 0
  readonly unsyncedBytes = 0
  readonly memory: ResidentMemory = new ResidentMemory(Number.MAX_SAFE_INTEGER)
  readonly notes: Notes = new Notes(null)
  readonly bodies = null
  readonly publishes: PublishLog = { begin() {}, addRoute() {}, end() {} }

  async load(): Promise<LoadReport> {
    return { nextQueueId: 1, messages: 0, clean: true, notes: [] }
  }

  appendTopology(_record: TopologyRecord): void {}

  queueIndex(queueId: number, durable: boolean): QueueIndex {
    return new QueueIndex(queueId, durable, this.memory, null)
  }

  dropIndex(_queueId: number): void {}

  commit(): void {}

  barrier(): number {
    return 0
  }

  async announce(): Promise<void> {}

  async close(): Promise<void> {}
}
