/** Declares a plain queue, as the client needs it for dead letters. */
import type { QueueDeclare } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Control } from './control.ts'

export function declaration(queue: string, durable: boolean, table: FieldTable): QueueDeclare {
  const flags = { passive: false, exclusive: false, autoDelete: false }
  return { type: 'queue.declare', queue, durable, ...flags, arguments: table }
}

/**
 * Makes sure that the dead-letter queue is there. Asked anew for each dead letter, for somebody may have deleted it, and a
 * dead letter must not vanish.
 */
export async function makeDeadLetterQueue(control: Control, queue: string, durable: boolean): Promise<void> {
  try {
    await control.execute(declaration(queue, durable, emptyTable))
  } catch (error) {
    // It is there, made with other arguments by somebody who knows why.
    if (!(error instanceof BrokerError) || error.code !== 'PRECONDITION_FAILED') throw error
  }
}
