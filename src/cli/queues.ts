/** `leveret queues`: what waits, what is being worked on, who consumes. */
import type { Bus } from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import type { Reporting } from './fail.ts'
import { type Cell, table } from './table.ts'
import { openTarget, targetOf } from './target.ts'

interface QueuesCommand extends Reporting {
  readonly names: readonly string[]
  readonly at: string
}

/** Over amqp:// a broker tells less. */
interface Row {
  readonly name: string
  readonly ready: number
  readonly readyBytes: number | null
  readonly unacked: number | null
  readonly consumers: number
}

export async function run(options: QueuesCommand): Promise<number> {
  const target = targetOf(options.at)
  if (!target.isFolder && options.names.length === 0) throw needsNames(options.at)
  const bus = await openTarget(target, () => {})
  try {
    const rows = target.isFolder ? await folderRows(bus, options.names) : await remoteRows(bus, options.names)
    print(rows, options.json)
  } finally {
    await bus.close()
  }
  return 0
}

function needsNames(at: string): LeveretError {
  return new LeveretError(
    'E_UNSUPPORTED',
    `AMQP has no command that lists queues, so over ${at} they have to be named: leveret queues orders invoices`,
  )
}

async function folderRows(bus: Bus, names: readonly string[]): Promise<Row[]> {
  const all = await bus.stats()
  const unknown = names.find((name) => all.every((queue) => queue.name !== name))
  if (unknown !== undefined) throw new LeveretError('E_BAD_OPTION', `there is no queue '${unknown}' in the folder`)
  return all
    .filter((queue) => names.length === 0 || names.includes(queue.name))
    .map(({ name, ready, readyBytes, unacked, consumers }) => ({ name, ready, readyBytes, unacked, consumers }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
}

async function remoteRows(bus: Bus, names: readonly string[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of names) {
    const { ready, consumers } = await (await bus.openQueue(name)).count()
    rows.push({ name, ready, readyBytes: null, unacked: null, consumers })
  }
  return rows
}

function print(rows: readonly Row[], json: boolean): void {
  if (json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
    return
  }
  const cells: Cell[][] = rows.map((row) => [row.name, row.ready, row.readyBytes, row.unacked, row.consumers])
  process.stdout.write(table(['queue', 'ready', 'bytes', 'unacked', 'consumers'], cells))
}
