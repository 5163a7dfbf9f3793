/**
 * How much may wait in a queue, and what happens to what is too much. Only ready messages count, and of them the bodies.
 * The oldest go, or new ones are refused.
 */
export type Overflow = 'drop-head' | 'reject-publish' | 'reject-publish-dlx'

export const overflows: readonly string[] = ['drop-head', 'reject-publish', 'reject-publish-dlx']

export class LengthLimit {
  /** Infinity: any number. */
  readonly messagesMax: number
  readonly bytesMax: number
  readonly overflow: Overflow

  constructor(messagesMax: number, bytesMax: number, overflow: Overflow) {
    this.messagesMax = messagesMax
    this.bytesMax = bytesMax
    this.overflow = overflow
  }

  get refuses(): boolean {
    return this.overflow !== 'drop-head'
  }

  isExceeded(messages: number, bytes: number): boolean {
    return messages > this.messagesMax || bytes > this.bytesMax
  }
}
