/** Sends that wait for their confirm: a single one, and those of one `sendMany`, which are settled together. */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Pending } from './confirm-ring.ts'
import type { OpenReceipt, StoredListener } from './receipt.ts'
import type { MakeMessage } from './sender.ts'
import type { Sent } from './sent.ts'

/** A message that is made and not yet on its way. */
export interface Outgoing {
  readonly sent: Sent
  /** Whom answers find: null for the many that ask for none. */
  readonly receipt: OpenReceipt | null
  readonly message: Message | MakeMessage
  readonly bytes: number
}

let capturedResolve: (sent: Sent) => void
let capturedReject: (error: Error) => void

/** One function for all promises instead of a closure for each: the next SingleSend takes what it caught. */
export function capture(resolve: (sent: Sent) => void, reject: (error: Error) => void): void {
  capturedResolve = resolve
  capturedReject = reject
}

/** One send that waits. Made right behind its promise. */
export class SingleSend implements Pending, StoredListener {
  readonly what: string
  readonly bytes: number
  unroutable = false
  private readonly sent: Sent
  private readonly receipt: OpenReceipt | null
  private readonly messageId: string | null
  private readonly resolve: (sent: Sent) => void
  private readonly reject: (error: Error) => void

  constructor(what: string, bytes: number, sent: Sent, receipt: OpenReceipt | null) {
    this.what = what
    this.bytes = bytes
    this.sent = sent
    this.receipt = receipt
    this.messageId = receipt?.messageId ?? null
    this.resolve = capturedResolve
    this.reject = capturedReject
  }

  get id(): string {
    return this.messageId ?? this.sent.id
  }

  stored(): void {
    if (this.receipt === null) this.resolve(this.sent)
    else this.receipt.stored(this)
  }

  known(): void {
    this.resolve(this.sent)
  }

  unknown(error: Error): void {
    this.refused(error)
  }

  refused(error: Error): void {
    this.reject(error)
    // Who was told by the promise is not told once more by the callbacks.
    this.receipt?.forget()
  }
}

/** A `sendMany` that waits for its last confirm. */
export class Batch {
  readonly what: string
  private readonly outgoing: readonly Outgoing[]
  private readonly resolve: (sent: Sent[]) => void
  private readonly reject: (error: Error) => void
  private open: number
  private refusals = 0
  private firstError: Error | null = null

  constructor(
    what: string,
    outgoing: readonly Outgoing[],
    resolve: (sent: Sent[]) => void,
    reject: (error: Error) => void,
  ) {
    this.what = what
    this.outgoing = outgoing
    this.resolve = resolve
    this.reject = reject
    this.open = outgoing.length
  }

  settle(error: Error | null): void {
    this.open--
    if (error !== null) {
      this.refusals++
      this.firstError ??= error
    }
    if (this.open > 0) return
    if (this.firstError === null) this.resolve(this.outgoing.map((one) => one.sent))
    else this.reject(this.failure(this.firstError))
  }

  private failure(first: Error): Error {
    const total = this.outgoing.length
    const code = first instanceof LeveretError ? first.code : 'E_REFUSED'
    const text = `${this.what}: ${total - this.refusals} of ${total} messages are known to be stored; the first that is not: `
    return new LeveretError(code, text + first.message, first)
  }
}

export class BatchSend implements Pending {
  readonly bytes: number
  unroutable = false
  private readonly batch: Batch
  private readonly outgoing: Outgoing

  constructor(batch: Batch, outgoing: Outgoing) {
    this.batch = batch
    this.outgoing = outgoing
    this.bytes = outgoing.bytes
  }

  get id(): string {
    return this.outgoing.receipt?.messageId ?? this.outgoing.sent.id
  }

  get what(): string {
    return this.batch.what
  }

  stored(): void {
    this.outgoing.receipt?.stored()
    this.batch.settle(null)
  }

  refused(error: Error): void {
    this.outgoing.receipt?.forget()
    this.batch.settle(error)
  }
}
