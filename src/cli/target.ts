/** Where a command works: on a broker behind a URL, or in a data folder that this process opens itself. */
import type { Bus, Queue } from '../index.ts'
import { connect } from '../index.ts'
import { isErrorCode } from '../log/small-file.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'

export interface Target {
  readonly url: string
  /** This process has the folder for itself, so nobody else can send into it meanwhile. */
  readonly isFolder: boolean
}

/** Throws E_BAD_URL for a memory that would end with the command. */
export function targetOf(text: string): Target {
  if (/^memory:/i.test(text)) {
    throw new LeveretError('E_BAD_URL', "'memory:' would be gone with this command: name a folder or an amqp:// URL")
  }
  if (/^file:/i.test(text)) return { url: text, isFolder: true }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { url: text, isFolder: false }
  return { url: `file:${text}`, isFolder: true }
}

/** Hears when the connection is lost, once. */
export type Lost = (error: Error) => void

/** A message that cannot be read, or a schedule that has no queue, is told, and all else goes on; a storage that failed ends the connection as well. */
export function damageOr(lost: Lost): Lost {
  return (error) => {
    if (isErrorCode(error, 'E_STORAGE_CORRUPT') || isErrorCode(error, 'E_UNROUTABLE'))
      process.stderr.write(`leveret: ${error.message}\n`)
    else lost(error)
  }
}

export async function openTarget(target: Target, lost: Lost): Promise<Bus> {
  const bus = await connect(target.url, { onError: damageOr(lost) })
  for (const note of bus.notes) process.stderr.write(`leveret: note: ${note}\n`)
  return bus
}

/** The queue as it is, or a new durable one. */
export async function openQueue(bus: Bus, name: string): Promise<Queue> {
  try {
    return await bus.openQueue(name)
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'NOT_FOUND') throw error
    return await bus.createQueue(name)
  }
}
