/** `leveret queues`: what waits, what is being worked on, who consumes. */
import type { Bus } from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import type { Reporting } from './fail.ts'
import { type Cell, table } from './table.ts'
import { openTarget, type Target, targetOf } from './target.ts'

interface QueuesCommand extends Reporting {
  readonly names: readonly string[]
  readonly at: string
}

/** A broker other than Leveret tells less. */
interface Row {
  readonly name: string
  readonly ready: number
  readonly readyBytes: number | null
  readonly delayed: number | null
  readonly unacked: number | null
  readonly consumers: number
  readonly paused: boolean | null
  readonly durability: string | null
  readonly deliverAfter: string | null
}

const notPromised = { durability: null, deliverAfter: null } as const

export async function run(options: QueuesCommand): Promise<number> {
  const target = targetOf(options.at)
  const bus = await openTarget(target, () => {})
  try {
    const { names } = options
    const all = await everyRow(bus, target)
    if (all === null && names.length === 0) throw needsNames(options.at)
    const rows = all?.filter(({ name }) => names.length === 0 || names.includes(name)) ?? []
    const unknown = names.filter((one) => rows.every(({ name }) => name !== one))
    if (target.isFolder && unknown[0] !== undefined) throw notThere(unknown[0])
    print([...rows, ...(await countedRows(bus, unknown))], options.json)
  } finally {
    await bus.close()
  }
  return 0
}

function needsNames(at: string): LeveretError {
  return new LeveretError(
    'E_UNSUPPORTED',
    `the broker at ${at} is no Leveret, and AMQP has no command that lists queues, so they have to be named: ` +
      'leveret queues orders invoices',
  )
}

function notThere(name: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', `there is no queue '${name}' in the folder`)
}

/** In the order of their names; null if the broker cannot be asked. What is promised depends on who serves the folder. */
async function everyRow(bus: Bus, { isFolder }: Target): Promise<Row[] | null> {
  try {
    const all = await bus.stats()
    return all
      .map(({ name, ready, readyBytes, delayed, unacked, consumers, paused, durability, deliverAfter }) => {
        const promised = isFolder ? notPromised : { durability, deliverAfter }
        return { name, ready, readyBytes, delayed, unacked, consumers, paused, ...promised }
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1))
  } catch (error) {
    if (error instanceof LeveretError && error.code === 'E_UNSUPPORTED') return null
    throw error
  }
}

/** What every broker tells of a queue. Rejects with NOT_FOUND, in the broker's words. */
async function countedRows(bus: Bus, names: readonly string[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of names) {
    const { ready, consumers } = await (await bus.openQueue(name)).count()
    rows.push({ name, ready, readyBytes: null, delayed: null, unacked: null, consumers, paused: null, ...notPromised })
  }
  return rows
}

function print(rows: readonly Row[], json: boolean): void {
  if (json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
    return
  }
  // Hardly any queue ever is: then nobody needs a column that says so.
  const hasPaused = rows.some(({ paused }) => paused)
  const cells = rows.map(({ name, ready, readyBytes, delayed, unacked, consumers, paused, ...promised }): Cell[] => {
    const state = hasPaused ? [paused === true ? 'paused' : ''] : []
    return [name, ready, readyBytes, delayed, unacked, consumers, promised.durability, promised.deliverAfter, ...state]
  })
  const heads = ['queue', 'ready', 'bytes', 'delayed', 'unacked', 'consumers', 'durability', 'deliver-after']
  if (hasPaused) heads.push('state')
  process.stdout.write(table(heads, cells))
}
