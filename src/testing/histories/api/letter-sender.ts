/** Sends the letters of one process, and writes into the ledger what became of the sends and what is told about them. */
import { OpenReceipt, type Receipt } from '../../../client/receipt.ts'
import type { ReceiptOptions, SendOptions } from '../../../client/send-options.ts'
import type { LeveretError } from '../../../model/errors.ts'
import type { Party } from '../app-process.ts'
import { isLoss, isRefusal } from '../expected-errors.ts'
import type { Letter, Mark, Sending, Word } from './ledger.ts'
import type { ApiWorld, WorkQueue } from './world.ts'

/** The process that sends. */
export interface SendingParty extends Party {
  /** The name that its receipts are kept under. */
  readonly sender: string
  readonly queues: ReadonlyMap<string, WorkQueue>
}

export class LetterSender {
  private readonly world: ApiWorld
  private readonly party: SendingParty

  constructor(world: ApiWorld, party: SendingParty) {
    this.world = world
    this.party = party
  }

  /** Sends it, once. */
  async send(letter: Letter): Promise<void> {
    const { world, party } = this
    const { plan, uid } = letter
    const queue = party.queues.get(plan.queue.name) as WorkQueue
    const sending = world.ledger.sending(letter, party, null)
    world.note(`${party.name} sends ${uid} to ${plan.queue.name} (send ${sending.number})`)
    try {
      const sent = await queue.send({ uid }, this.optionsFor(sending))
      if (party.isDead) {
        sending.outcome = 'rejected'
        return
      }
      sending.outcome = 'stored'
      sending.id = sent.id
      if (sent instanceof OpenReceipt) sending.answeredAs = sent.messageId
      for (const id of [sent.id, sending.answeredAs]) world.ledger.byMessageId.set(id, letter)
      sending.isDuplicate = sent.duplicate
      world.note(`send ${sending.number} is stored${sent.duplicate ? ' already' : ''}`)
      if (plan.receipt !== 'none') this.awaitPromise(sending, sent as Receipt<Mark | undefined>)
    } catch (error) {
      sending.outcome = 'rejected'
      const { code } = error as LeveretError
      world.note(`send ${sending.number} is rejected: ${code}`)
      if (!isLoss(error) && !isRefusal(error)) world.complain('exception', `send of ${uid}: ${String(error)}`)
    }
  }

  /** How it is sent, and what is written down of what is told about it. */
  optionsFor(sending: Sending): ReceiptOptions<Mark | undefined> {
    const { plan, uid } = sending.letter
    const { key, ttlMs, deadlineMs, delayMs, priority } = plan
    const options: { -readonly [Name in keyof SendOptions]: SendOptions[Name] } = {}
    if (key !== null) options.key = key
    if (plan.isIdempotent) options.idempotencyKey = uid
    if (ttlMs !== null) options.ttl = ttlMs
    if (deadlineMs !== null) options.deadline = deadlineMs
    if (delayMs > 0) options.delay = delayMs
    if (priority > 0) options.priority = priority
    if (plan.receipt === 'none') return options as ReceiptOptions<Mark | undefined>
    const { world } = this
    const told = (error: LeveretError | null, result: Mark | undefined): void => {
      const word = this.wordOf(error, result)
      world.note(`send ${sending.number} is told ${word.status}${word.call === null ? '' : ` by call ${word.call}`}`)
      world.ledger.told(sending, word)
    }
    return {
      ...options,
      ...(plan.receipt === 'named' ? { sender: this.party.sender } : {}),
      onDelivered: () => this.began(sending),
      onProgress: () => this.progressed(sending),
      onProcessed: told,
    }
  }

  private began(sending: Sending): void {
    if (this.party.isDead) return
    sending.starts++
    const { number, letter, words, starts } = sending
    if (starts > 1 || words.length > 0)
      this.world.complain('receipt', `send ${number} of ${letter.uid} was told late or twice that a worker has begun`)
  }

  private progressed(sending: Sending): void {
    if (this.party.isDead || sending.words.length === 0) return
    this.world.complain(
      'receipt',
      `send ${sending.number} of ${sending.letter.uid} was told of progress behind its end`,
    )
  }

  private awaitPromise(sending: Sending, receipt: Receipt<Mark | undefined>): void {
    receipt.processed().then(
      (result) => {
        sending.promised = this.wordOf(null, result)
      },
      (error: LeveretError) => {
        sending.promised = this.wordOf(error, undefined)
      },
    )
  }

  private wordOf(error: LeveretError | null, result: Mark | undefined): Word {
    const common = {
      text: error?.message ?? '',
      atMs: this.world.nowMs(),
      life: this.party.life,
      via: 'callback',
      id: '',
      isSure: true,
    } as const
    if (error === null) return { status: 'processed', call: result?.call ?? null, ...common }
    if (error.code === 'E_EXPIRED') return { status: 'expired', call: null, ...common }
    if (error.code !== 'E_NOT_PROCESSED') return { status: 'unknown', call: null, ...common }
    const status = error.message.includes('was dead-lettered') ? 'dead-lettered' : 'failed'
    return { status, call: null, ...common }
  }
}
