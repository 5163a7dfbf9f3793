/** Declares a plain queue, as the client needs it for dead letters and for calls. */
import type { QueueDeclare } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Control } from './control.ts'

export function declaration(queue: string, durable: boolean, table: FieldTable): QueueDeclare {
  const flags = { passive: false, exclusive: false, autoDelete: false }
  return { type: 'queue.declare', queue, durable, ...flags, arguments: table }
}

/** Makes sure that a queue is there, whatever it is like. Asked anew for each dead letter, which must not vanish with it. */
export async function ensureQueue(control: Control, queue: string, durable: boolean): Promise<void> {
  try {
    await control.execute(declaration(queue, durable, emptyTable))
  } catch (error) {
    // It is there, made with other arguments by somebody who knows why.
    if (!(error instanceof BrokerError) || error.code !== 'PRECONDITION_FAILED') throw error
  }
}
