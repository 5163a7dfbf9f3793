/** What every send gives, in its two cheap forms. */
import { idText } from './ids.ts'
import { showAsJson } from './inspect.ts'

/** What `send` gives: the message is stored. */
export interface Sent {
  /** The message's id, a UUID that sorts by time. */
  readonly id: string
  /** Whether an earlier send with the same idempotency key had stored it already. */
  readonly duplicate: boolean
}

/** Puts its id together when somebody asks for it. */
export class PlainSent implements Sent {
  readonly duplicate = false
  private readonly prefix: string
  private readonly counter: number

  constructor(prefix: string, counter: number) {
    this.prefix = prefix
    this.counter = counter
  }

  get id(): string {
    return idText(this.prefix, this.counter)
  }

  toJSON(): Sent {
    return { id: this.id, duplicate: this.duplicate }
  }
}

showAsJson(PlainSent.prototype)

/** A receipt of which nothing was asked but whether it is a duplicate. */
export class SentOnly implements Sent {
  private readonly receipt: Sent

  constructor(receipt: Sent) {
    this.receipt = receipt
  }

  get id(): string {
    return this.receipt.id
  }

  get duplicate(): boolean {
    return this.receipt.duplicate
  }

  toJSON(): Sent {
    return { id: this.id, duplicate: this.duplicate }
  }
}

showAsJson(SentOnly.prototype)
