/** What AMQP has no method for and is done with one queue, as it is asked through `leveret.control`, too. */
import { type Check, type Fields, flag, integer, optional, readFields, text } from './command-fields.ts'
import { controlPrefix } from './control-exchange.ts'
import type { Message } from './message.ts'

export type QueueCommand = PauseQueue | PeekQueue | CancelMessage

/** A paused queue takes messages and hands out none. */
export interface PauseQueue {
  readonly type: 'leveret.pause'
  readonly queue: string
  /** False: it goes on. */
  readonly paused: boolean
}

/** Looks at messages that wait, and changes nothing. */
export interface PeekQueue {
  readonly type: 'leveret.peek'
  readonly queue: string
  /** How many at most, from 1 to 1,000. */
  readonly limit: number
  /** How many of the first are left out, at most 100,000. */
  readonly skip?: number
  /** Ready in the order in which they would be handed out, or hidden in the order in which they are due. */
  readonly state: 'ready' | 'delayed'
}

/** A message that waits, as it was seen. */
export interface PeekedMessage {
  /** Without its body if that has more than `limits.bodyInlineBytesMax`. */
  readonly message: Message
  readonly hasBody: boolean
  /** Of the body, also where it is left out. */
  readonly bodyBytes: number
  /** Its number in its queue; one that was hidden gets another when it is due. */
  readonly sequence: number
  readonly state: 'ready' | 'delayed'
  /** When it is due, and when it expires, in ms since 1970; 0: it is not hidden, or never expires. */
  readonly dueAt: number
  readonly expiresAt: number
  /** How often it was handed out, as far as that is known. */
  readonly deliveryCount: number
}

/** Removes messages that wait: ready or hidden, not those that consumers have. */
export interface CancelMessage {
  readonly type: 'leveret.cancel'
  readonly queue: string
  /** Every message with that message-id goes. */
  readonly messageId: string
}

const waiting: Check = (value) => value === 'ready' || value === 'delayed'

const commands: {
  readonly [Type in QueueCommand['type']]: Fields<Extract<QueueCommand, { readonly type: Type }>>
} = {
  'leveret.pause': { queue: text, paused: flag },
  'leveret.peek': { queue: text, limit: integer, skip: optional(integer), state: waiting },
  'leveret.cancel': { queue: text, messageId: text },
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
