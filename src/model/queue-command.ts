/** What AMQP has no method for and is done with one queue, as it is asked through `leveret.control`, too. */
import { type Fields, flag, readFields, text } from './command-fields.ts'
import { controlPrefix } from './control-exchange.ts'

export type QueueCommand = PauseQueue

/** A paused queue takes messages and hands out none. */
export interface PauseQueue {
  readonly type: 'leveret.pause'
  readonly queue: string
  /** False: it goes on. */
  readonly paused: boolean
}

const commands: {
  readonly [Type in QueueCommand['type']]: Fields<Extract<QueueCommand, { readonly type: Type }>>
} = {
  'leveret.pause': { queue: text, paused: flag },
}

/** The keys under which they are asked. */
export const queueKeys: readonly string[] = Object.keys(commands).map((type) => type.slice(controlPrefix.length))

/** Null: there is no such command. Throws PRECONDITION_FAILED, which names the field. */
export function readQueueCommand(key: string, body: Buffer): QueueCommand | null {
  if (!queueKeys.includes(key)) return null
  const type = `${controlPrefix}${key}` as QueueCommand['type']
  return Object.fromEntries([['type', type], ...readFields(key, body, commands[type])]) as unknown as QueueCommand
}

export function isQueueCommand<Other extends { readonly type: string }>(
  command: Other | QueueCommand,
): command is QueueCommand {
  return Object.hasOwn(commands, command.type)
}
