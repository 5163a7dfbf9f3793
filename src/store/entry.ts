/** A message in a queue: one per route, sharing the message. It is both the queue's index entry and the unacked record. */
import type { Message } from '../model/message.ts'

export class Entry {
  readonly message: Message
  /** The message's place in its queue, from 1, never used again. */
  readonly sequence: number
  /** Whether the log knows of this entry, so that settling it must be recorded. */
  readonly logged: boolean
  /** How often it was handed out, as far as this broker or its clean shutdowns know. */
  deliveryCount: number

  constructor(message: Message, sequence: number, logged: boolean) {
    this.message = message
    this.sequence = sequence
    this.logged = logged
    this.deliveryCount = 0
  }
}
