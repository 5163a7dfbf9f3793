/**
 * Short workloads of which every crash is tried (see exhaustion.ts). Each does one thing that has to survive in parts, with
 * files so small that it happens at once. A workload is a list of lives: between two of them the broker is closed.
 */
import type { LogStoreOptions } from '../../store/log-store.ts'
import type { Scene } from './scene.ts'

export interface Workload {
  readonly name: string
  readonly storage: Partial<LogStoreOptions>
  readonly lives: readonly ((scene: Scene) => Promise<void>)[]
}

const never = 1_000_000_000
/** Nothing happens but what the workload asks for. */
const quiet: Partial<LogStoreOptions> = {
  segmentBytesMax: 65_536,
  checkpointBytes: never,
  checkpointMs: never,
  checkpointSoonMs: never,
  deadBytesMax: never,
}
/** A checkpoint half a second after each change, and no more. */
const checkpointing: Partial<LogStoreOptions> = { ...quiet, checkpointBytes: 1, checkpointMs: 300, checkpointSoonMs: 0 }

export const workloads: readonly Workload[] = [
  {
    name: 'publish',
    storage: quiet,
    lives: [
      async (scene) => {
        await scene.declare('q')
        await scene.publish('q', 10)
        // Three sectors in one frame, and the next one while it is being synced.
        scene.post('q', 500, 900)
        await scene.pass(0.5)
        await scene.publish('q', 40)
      },
    ],
  },
  {
    name: 'acknowledge',
    storage: quiet,
    lives: [
      async (scene) => {
        await scene.declare('q')
        await scene.publish('q', 10, 20, 30)
        const [first, second, third] = (await scene.get('q', 3)) as [number, number, number]
        scene.ack(second)
        // An acknowledgement waits a tenth of a second for company.
        await scene.pass(120)
        scene.ack(first)
        scene.reject(true, third)
        await scene.publish('q', 40)
      },
      async (scene) => {
        const tags = await scene.get('q', 2)
        scene.ack(...tags)
        await scene.pass(120)
      },
    ],
  },
  {
    name: 'transaction',
    storage: quiet,
    lives: [
      async (scene) => {
        await scene.declare('a')
        await scene.declare('b')
        await scene.publish('a', 10, 600)
        await scene.commit(await scene.get('a', 2), 'b', 700, 20)
        await scene.ask({ type: 'queue.purge', queue: 'b' })
      },
    ],
  },
  {
    name: 'segments',
    storage: { ...quiet, segmentBytesMax: 4_096 },
    lives: [
      async (scene) => {
        await scene.declare('q')
        for (const size of [1_500, 1_800, 1_600]) await scene.publish('q', size)
        scene.ack(...(await scene.get('q', 2)))
        await scene.publish('q', 1_700)
      },
    ],
  },
  {
    name: 'checkpoint',
    storage: checkpointing,
    lives: [
      async (scene) => {
        await scene.declare('q')
        await scene.publish('q', 10, 20, 30)
        const [first, second] = (await scene.get('q', 2)) as [number, number]
        scene.ack(first)
        await scene.pass(600)
        scene.ack(second)
        await scene.publish('q', 40)
        await scene.pass(600)
      },
      async (scene) => {
        scene.ack(...(await scene.get('q', 1)))
        await scene.publish('q', 50)
        await scene.pass(600)
      },
    ],
  },
  {
    name: 'pages',
    storage: { ...checkpointing, windowBytesMax: 100, pageBytesMax: 0, pageFileBytesMax: 200 },
    lives: [
      async (scene) => {
        await scene.declare('q')
        for (let count = 0; count < 3; count++) await scene.publish('q', 60, 60, 60)
        await scene.pass(600)
        scene.ack(...(await scene.get('q', 2)))
        await scene.publish('q', 60, 60)
        await scene.pass(600)
      },
    ],
  },
  {
    name: 'compaction',
    storage: {
      ...checkpointing,
      segmentBytesMax: 4_096,
      windowBytesMax: 100,
      deadBytesMax: 0,
      coldBytesMax: 2_000,
      compactionBytesPerSecond: never,
    },
    lives: [
      async (scene) => {
        await scene.declare('q')
        for (let count = 0; count < 3; count++) await scene.publish('q', 900, 100, 900)
        const tags = await scene.get('q', 9)
        scene.ack(...tags.filter((_tag, at) => at % 3 !== 1))
        scene.reject(true, ...tags.filter((_tag, at) => at % 3 === 1))
        await scene.pass(1_500)
        // Segments go when no checkpoint that is kept needs them.
        for (let count = 0; count < 3; count++) {
          await scene.publish('q', 30)
          await scene.pass(600)
        }
      },
    ],
  },
]
