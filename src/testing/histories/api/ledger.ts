/**
 * What the users of a history know: every message that was sent, every call of a handler, every word that a sender was told.
 * Nothing in it comes from the broker, so what the judge finds at the end can be compared with it.
 */
import type { Party } from '../app-process.ts'
import type { LetterPlan, QueuePlan } from './plan.ts'

/** How a call of a handler ended. */
export type Verdict =
  /** It returned a result, or acknowledged. */
  | { readonly kind: 'done' }
  /** To be tried again, or given up if there was no attempt left. `pauseMs`: what must go by at least. */
  | { readonly kind: 'failed'; readonly error: string; readonly pauseMs: number }
  | { readonly kind: 'given up'; readonly error: string }
  /** Its process died, or the message was taken from it: it counts for nothing. */
  | { readonly kind: 'lost' }

export interface Call {
  readonly number: number
  readonly letter: Letter
  readonly attempt: number
  readonly party: Party
  readonly messageId: string
  readonly beganMs: number
  endedMs: number
  /** Null: it runs, or never ended. */
  verdict: Verdict | null
  /** What it sent with its commit. */
  readonly children: Letter[]
  marks: number
  emits: number
}

/** One word that ends a receipt or was found in an inbox. */
export interface Word {
  readonly status: 'processed' | 'failed' | 'dead-lettered' | 'expired' | 'unknown'
  /** The call whose result it is; null: it is no result. */
  readonly call: number | null
  readonly text: string
  readonly atMs: number
  readonly life: number
  readonly via: 'callback' | 'inbox'
  /** The id in the inbox; '' for a callback. */
  readonly id: string
  /** False: it was read while the bus closed, and it may be told once more. */
  readonly isSure: boolean
}

/** One call of `send`, or of `context.send`. */
export interface Sending {
  readonly number: number
  readonly letter: Letter
  readonly party: Party
  readonly sentMs: number
  /** Null for one with a handler's commit: whether it was stored its call says. */
  readonly call: Call | null
  outcome: 'open' | 'stored' | 'rejected'
  id: string
  /** The id that answers to it carry: its own, where `id` is that of a message that was taken before. */
  answeredAs: string
  isDuplicate: boolean
  readonly words: Word[]
  /** How often it was told that a worker has begun. */
  starts: number
  /** What its promise said. */
  promised: Word | null
}

export interface Letter {
  /** It is in the message's data. */
  readonly uid: string
  readonly plan: LetterPlan
  /** Null: it was sent by nobody's handler. */
  readonly parent: Call | null
  /** Among its parent's. */
  readonly index: number
  readonly sendings: Sending[]
  readonly calls: Call[]
  /** From inboxes: what was told there of any of its sendings. */
  readonly inboxWords: Word[]
}

/** What every message of a history carries. */
export interface LetterData {
  readonly uid: string
}

/** A result, and what a handler leaves in the queues nobody works at. */
export interface Mark {
  readonly uid: string
  readonly call: number
}

/** What is wrong already when it is said, in words. */
export type Complain = (invariant: string, text: string) => void

export class Ledger {
  readonly letters: Map<string, Letter> = new Map()
  readonly calls: Call[] = []
  readonly sendings: Sending[] = []
  /** When the power went, and which life that ended. */
  readonly powerCuts: { readonly life: number; readonly atMs: number }[] = []
  /** Schedules that somebody was told are there. */
  readonly scheduled: Set<string> = new Set()
  /** By message id, as handlers saw it. */
  readonly byMessageId: Map<string, Letter> = new Map()
  private readonly isNarrow: boolean
  private readonly nowMs: () => number
  private readonly complain: Complain

  /** `isNarrow`: some queues refuse what is too much. */
  constructor(isNarrow: boolean, nowMs: () => number, complain: Complain) {
    this.isNarrow = isNarrow
    this.nowMs = nowMs
    this.complain = complain
  }

  letter(uid: string, plan: LetterPlan, parent: Call | null, index: number): Letter {
    const letter = { uid, plan, parent, index, sendings: [], calls: [], inboxWords: [] }
    this.letters.set(uid, letter)
    return letter
  }

  sending(letter: Letter, party: Party, call: Call | null): Sending {
    const sending: Sending = {
      number: this.sendings.length,
      letter,
      party,
      sentMs: this.nowMs(),
      call,
      outcome: 'open',
      id: '',
      answeredAs: '',
      isDuplicate: false,
      words: [],
      starts: 0,
      promised: null,
    }
    this.sendings.push(sending)
    letter.sendings.push(sending)
    return sending
  }

  /** A handler is called with the message. */
  begin(queue: QueuePlan, data: LetterData, messageId: string, attempt: number, party: Party): Call {
    const letter = this.letters.get(data.uid)
    if (letter === undefined) throw new Error(`a handler got ${JSON.stringify(data)}, which nobody has sent`)
    const { plan } = letter
    if (plan.queue !== queue) this.complain('I10', `${data.uid} for ${plan.queue.name} was in ${queue.name}`)
    if (attempt > queue.retry.attempts) {
      this.complain('retry', `${data.uid} has ${queue.retry.attempts} attempts, and attempt ${attempt} begins`)
    }
    const call: Call = {
      number: this.calls.length,
      letter,
      attempt,
      party,
      messageId,
      beganMs: this.nowMs(),
      endedMs: 0,
      verdict: null,
      children: [],
      marks: 0,
      emits: 0,
    }
    this.checkPause(call)
    this.calls.push(call)
    letter.calls.push(call)
    this.byMessageId.set(messageId, letter)
    return call
  }

  end(call: Call, verdict: Verdict): void {
    call.endedMs = this.nowMs()
    call.verdict = call.party.isDead ? { kind: 'lost' } : verdict
  }

  /** Its sender is told, by a callback. */
  told(sending: Sending, word: Word): void {
    const { letter, words, outcome, number } = sending
    if (sending.party.isDead && word.status !== 'unknown') return
    words.push(word)
    if (words.length > 1) this.complain('receipt', `send ${number} of ${letter.uid} was told ${list(words)}`)
    if (sending.call === null && outcome !== 'stored')
      this.complain('receipt', `send ${number} of ${letter.uid} was told ${word.status} before it was stored`)
  }

  /** Whether the power went soon enough behind that moment for an acknowledgement of then to be lost. */
  powerWentBehind(atMs: number, life: number, withinMs: number): boolean {
    return this.powerCuts.some((cut) => cut.life === life && cut.atMs >= atMs && cut.atMs - atMs <= withinMs)
  }

  /** It ended well, but a queue may have refused what its commit sends. */
  mayBeRefused({ attempt, verdict }: Call, as: number = attempt): boolean {
    return this.isNarrow && attempt === as && verdict?.kind === 'done'
  }

  /** An attempt follows one that failed, and not sooner than that said. */
  private checkPause({ letter, attempt, beganMs }: Call): void {
    if (attempt === 1) return
    const before = letter.calls.filter((one) => one.attempt === attempt - 1 && one.verdict?.kind === 'failed')
    // What ended well and could not be committed failed without a word.
    if (letter.calls.some((one) => this.mayBeRefused(one, attempt - 1))) return
    if (before.length === 0) {
      this.complain('retry', `attempt ${attempt} of ${letter.uid} begins, and none before it has failed`)
      return
    }
    const dueMs = Math.min(...before.map(({ endedMs, verdict }) => endedMs + pauseOf(verdict)))
    if (beganMs < dueMs - 0.01)
      this.complain('I16', `attempt ${attempt} of ${letter.uid} begins at ${beganMs}, and not before ${dueMs} may it`)
  }
}

/** For people. */
export function list(words: readonly Word[]): string {
  return words.map(({ status, call, via }) => `${status}${call === null ? '' : ` by call ${call}`} (${via})`).join(', ')
}

function pauseOf(verdict: Verdict | null): number {
  return verdict?.kind === 'failed' ? verdict.pauseMs : 0
}
