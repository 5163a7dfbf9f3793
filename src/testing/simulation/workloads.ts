/**
 * Short workloads of which every crash is tried (see exhaustion.ts). Each does one thing that has to survive in parts, with
 * files so small that it happens at once. A workload is a list of lives: between two of them the broker is closed.
 */
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { type LetterQueue, plainRules } from './letter.ts'
import { argumentsOf } from './letter-client.ts'
import type { Scene } from './scene.ts'

export interface Workload {
  readonly name: string
  readonly storage: Partial<LogStoreOptions>
  /** Its messages are letters and move among these; null: they stay where they are, and the reference knows of each. */
  readonly letterQueues: readonly LetterQueue[] | null
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

const forever = Number.POSITIVE_INFINITY
const oneWay: readonly LetterQueue[] = [
  { name: 'work', ttlMs: 200, keyed: 0, maxPriority: 0, deadTo: 'dead', rules: plainRules },
  { name: 'dead', ttlMs: forever, keyed: 0, maxPriority: 0, deadTo: null, rules: plainRules },
]
/** What 'work' gets rid of goes to 'dead', and what stays there too long comes back. */
const circle: readonly LetterQueue[] = [
  { name: 'work', ttlMs: 200, keyed: 0, maxPriority: 0, deadTo: 'dead', rules: plainRules },
  { name: 'dead', ttlMs: 700, keyed: 0, maxPriority: 0, deadTo: 'work', rules: plainRules },
]

const alone: readonly LetterQueue[] = [
  { name: 'work', ttlMs: forever, keyed: 0, maxPriority: 0, deadTo: null, rules: plainRules },
]

async function letters(scene: Scene, queues: readonly LetterQueue[]): Promise<void> {
  for (const queue of queues) await scene.declare(queue.name, argumentsOf(queue))
  await scene.publish('work', 10, 300, 400, 20)
  const [first, second] = (await scene.get('work', 2)) as [number, number]
  scene.reject(false, second)
  await scene.pass(3)
  scene.ack(first)
  await scene.publish('work', 30)
  // What is left expires, while more comes.
  await scene.pass(195)
  scene.post('work', 40)
  await scene.pass(400)
  scene.ack(...(await scene.get('dead', 1)))
  await scene.pass(1_200)
}

export const workloads: readonly Workload[] = [
  {
    name: 'publish',
    letterQueues: null,
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
    letterQueues: null,
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
    letterQueues: null,
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
    letterQueues: null,
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
    letterQueues: null,
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
    letterQueues: null,
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
    letterQueues: null,
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
  {
    name: 'dead-letters',
    letterQueues: oneWay,
    storage: quiet,
    lives: [async (scene) => await letters(scene, oneWay)],
  },
  {
    name: 'dead-letters-in-a-circle',
    letterQueues: circle,
    // They have to be read before they go, and checkpoints know them in both places.
    storage: { ...checkpointing, windowBytesMax: 100, pageBytesMax: 0, pageFileBytesMax: 200, segmentBytesMax: 4_096 },
    lives: [async (scene) => await letters(scene, circle)],
  },
  {
    name: 'delays',
    letterQueues: alone,
    // A checkpoint before some are due and one after; what is due has to be read, and compaction moves what is hidden.
    storage: { ...checkpointing, pageBytesMax: 0, pageFileBytesMax: 200, segmentBytesMax: 4_096, deadBytesMax: 0 },
    lives: [
      async (scene) => {
        await scene.declare('work')
        scene.hide('work', 400, 900, 10)
        await scene.publish('work', 1_500, 20)
        scene.hide('work', 1_200, 30)
        await scene.stored()
        scene.ack(...(await scene.get('work', 2)))
        await scene.pass(900)
        scene.ack(...(await scene.get('work', 1)))
        await scene.publish('work', 40)
      },
      async (scene) => {
        scene.hide('work', 30_000, 50)
        await scene.pass(700)
        scene.ack(...(await scene.get('work', 2)))
        await scene.ask({ type: 'queue.purge', queue: 'work' })
      },
    ],
  },
]
