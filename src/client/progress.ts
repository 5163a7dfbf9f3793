/** Tells a sender how much is done. One word is under way at a time; what is said meanwhile is told when that has arrived. */
import type { Properties } from '../model/properties.ts'
import type { Pending } from './confirm-ring.ts'
import { progressAnswer } from './copies.ts'
import type { Sender } from './sender.ts'

/** Whether it says how much is done. */
export function isShare(share: unknown): share is number {
  return typeof share === 'number' && share >= 0 && share <= 1
}

export class ProgressTeller implements Pending {
  readonly what: string
  readonly bytes = 0
  readonly id = ''
  unroutable = false
  private readonly sender: Sender
  private readonly request: Properties
  private readonly queue: string
  private next: number | null = null
  private isUnderWay = false

  constructor(sender: Sender, request: Properties, queue: string) {
    this.what = `queue '${queue}'`
    this.sender = sender
    this.request = request
    this.queue = queue
  }

  tell(share: number): void {
    this.next = share
    if (!this.isUnderWay) this.send()
  }

  stored(): void {
    this.isUnderWay = false
    if (this.next !== null) this.send()
  }

  /** Nobody hears it: the sender is gone, or this bus is. */
  refused(): void {
    this.isUnderWay = false
    this.next = null
  }

  private send(): void {
    const share = this.next as number
    this.next = null
    this.isUnderWay = true
    this.sender.publish(progressAnswer(this.request, this.queue, share), false, this)
  }
}
