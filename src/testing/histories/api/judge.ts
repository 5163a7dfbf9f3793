/**
 * What must hold when all is processed: the ledger says what was sent, which handlers were called and what senders were told;
 * the queues that nobody works at say what was stored with their commits.
 *
 *     once      what is stored is processed once, as far as that leaves something behind: its marks, a dead letter, a word
 *     I8        what one handler sends and emits is all there, or nothing of it, and its message is done with just then
 *     I5        of one key in the order in which it was sent, where the queue keeps it
 *     retry     attempts follow failures, are no more than they may be, and a dead letter tells of them
 *     receipt   a sender is told how it ended: once, and as it was
 */
import type { LeftMessage } from '../history.ts'
import type { Call, Ledger, Letter, Mark, Sending, Word } from './ledger.ts'
import { list } from './ledger.ts'
import { type ApiPlan, keepsOrder } from './plan.ts'

/** A letter or a mark that was in a queue that nobody works at. */
export type Left = LeftMessage<{ readonly uid: string; readonly call?: number }>

export interface Remains {
  readonly marks: readonly Left[]
  readonly heard: readonly Left[]
  readonly expired: readonly Left[]
  /** By the queue they were in. */
  readonly deadLetters: ReadonlyMap<string, readonly Left[]>
}

/** Where a message was found in the end. */
interface Fate {
  readonly marks: readonly Mark[]
  readonly dead: readonly Left[]
  readonly expired: readonly Left[]
}

/** So long an acknowledgement may take to the disk, in a broker that has nothing else to do. */
const acknowledgedWithinMs = 150

export class Judge {
  private readonly plan: ApiPlan
  private readonly ledger: Ledger
  private readonly complain: (invariant: string, text: string) => void
  private readonly fates: Map<string, Fate> = new Map()
  /** Calls whose marks are there, and where among all marks. */
  private readonly committed: Map<number, number> = new Map()
  private readonly heard: Map<number, number> = new Map()

  constructor(plan: ApiPlan, ledger: Ledger, complain: (invariant: string, text: string) => void) {
    this.plan = plan
    this.ledger = ledger
    this.complain = complain
  }

  judge(remains: Remains): void {
    this.sort(remains)
    for (const letter of this.ledger.letters.values()) this.judgeFate(letter)
    for (const call of this.ledger.calls) this.judgeCommit(call)
    for (const sending of this.ledger.sendings) this.judgeReceipt(sending)
    for (const letter of this.ledger.letters.values()) this.judgeWords(letter)
    this.judgeOrder()
  }

  private sort({ marks, heard, expired, deadLetters }: Remains): void {
    const found: Map<string, { marks: Mark[]; dead: Left[]; expired: Left[] }> = new Map()
    for (const uid of this.ledger.letters.keys()) {
      const fate = { marks: [], dead: [], expired: [] }
      found.set(uid, fate)
      this.fates.set(uid, fate)
    }
    marks.forEach(({ data }, at) => {
      const call = data.call ?? -1
      found.get(data.uid)?.marks.push({ uid: data.uid, call })
      if (this.committed.has(call)) this.complain('I8', `what call ${call} of ${data.uid} sent was stored twice`)
      this.committed.set(call, at)
    })
    for (const { data } of heard) {
      const call = data.call ?? -1
      this.heard.set(call, (this.heard.get(call) ?? 0) + 1)
    }
    for (const left of expired) found.get(left.data.uid)?.expired.push(left)
    for (const left of [...deadLetters.values()].flat()) found.get(left.data.uid)?.dead.push(left)
  }

  // Messages.

  private judgeFate(letter: Letter): void {
    const { uid, plan } = letter
    const { marks, dead, expired } = this.fateOf(letter)
    const places = marks.length + dead.length + expired.length
    const isReceived = plan.queue.work.way === 'receive'
    if (places > 1 && !isReceived) {
      const where = [`processed by ${marks.map(({ call }) => `call ${call}`).join(', ') || 'none'}`]
      where.push(`${dead.length} dead letters`, `${expired.length} expired`)
      this.complain('once', `${uid} is in ${places} places: ${where.join(', ')}`)
    }
    const isThere = this.isStored(letter)
    if (places === 0 && isThere && !this.mayVanish(letter)) {
      this.complain('I1', `${uid} was stored, and is neither processed nor set aside`)
    }
    if (isThere === false && (places > 0 || this.wasTold(letter))) {
      this.complain('I8', `${uid} was sent by a call that was not committed, and is there`)
    }
    for (const left of dead) this.judgeDeadLetter(letter, left)
    for (const { call } of marks) this.judgeAttempts(letter, this.ledger.calls[call] as Call)
    this.judgeIds(letter)
  }

  /** Null: nobody can know. */
  private isStored({ sendings, parent }: Letter): boolean | null {
    if (parent === null) return sendings.some(({ outcome }) => outcome === 'stored') ? true : null
    return this.committed.has(parent.number) && parent.children.some((one) => one.sendings === sendings)
  }

  /** Nothing of it need be left. */
  private mayVanish({ plan, calls }: Letter): boolean {
    const { queue, ttlMs, deadlineMs, isSilent } = plan
    const isDone = (call: Call): boolean => call.verdict?.kind === 'done'
    if (isSilent || queue.work.way === 'receive') if (calls.some(isDone)) return true
    if ((ttlMs !== null || deadlineMs !== null) && !(queue.keepsExpired && queue.hasDeadLetters)) return true
    return !queue.hasDeadLetters && calls.some((call) => this.isLast(call))
  }

  private judgeAttempts(letter: Letter, last: Call): void {
    for (let attempt = 1; attempt < last.attempt; attempt++) {
      const failed = letter.calls.some(
        (one) => one.attempt === attempt && (one.verdict?.kind === 'failed' || this.ledger.mayBeRefused(one)),
      )
      if (!failed) this.complain('retry', `${letter.uid} was done at attempt ${last.attempt}: ${attempt} did not fail`)
    }
  }

  private judgeDeadLetter(letter: Letter, { headers }: Left): void {
    const { uid, plan, calls } = letter
    const attempts = headers['x-leveret-attempts']
    const error = headers['x-leveret-error']
    if (typeof attempts !== 'number' || typeof error !== 'string' || error === '') {
      return this.complain('dead letter', `that of ${uid} says attempts ${String(attempts)}, error ${String(error)}`)
    }
    if (plan.queue.work.way === 'receive') return
    // Its last commits were refused, of which nobody here was told.
    if (calls.some((call) => this.ledger.mayBeRefused(call, attempts))) return
    const ends = calls.filter((call) => call.attempt === attempts && isOver(call))
    const isLate = plan.deadlineMs !== null
    if (ends.length === 0 && !isLate)
      return this.complain('dead letter', `that of ${uid} says ${attempts} attempts, and none of that number failed`)
    if (!isLate && !ends.some((call) => this.isLast(call)))
      this.complain('dead letter', `${uid} was given up at attempt ${attempts} of ${plan.queue.retry.attempts}`)
    const history = headers['x-leveret-history']
    const tried = JSON.parse(typeof history === 'string' ? history : '[]') as readonly { readonly attempt: number }[]
    const numbers = tried.map((one) => one.attempt).join()
    const expected = Array.from({ length: attempts }, (_, at) => at + 1).join()
    if (numbers !== expected)
      this.complain('dead letter', `that of ${uid} tells of attempts ${numbers}, not ${expected}`)
    const texts = ends.map(({ verdict }) =>
      verdict?.kind === 'failed' || verdict?.kind === 'given up' ? verdict.error : '',
    )
    if (!isLate && !texts.some((text) => error.includes(text)))
      this.complain('dead letter', `that of ${uid} says '${error}', not '${texts.join("' or '")}'`)
  }

  /** Of a message that was sent again until it was stored one was taken, and all who sent it know which. */
  private judgeIds(letter: Letter): void {
    const { uid, sendings } = letter
    const stored = sendings.filter(({ outcome, call }) => outcome === 'stored' && call === null)
    if (new Set(stored.map(({ id }) => id)).size > 1)
      this.complain('once', `${uid} was stored as ${stored.map(({ id }) => id).join(' and as ')}`)
    if (stored.filter(({ isDuplicate }) => !isDuplicate).length > 1) this.complain('once', `${uid} was taken twice`)
    const [mark] = this.fateOf(letter).marks
    const id = mark === undefined ? undefined : this.ledger.calls[mark.call]?.messageId
    if (id !== undefined && stored.some((one) => one.id !== id))
      this.complain('once', `${uid} was processed as ${id}, and its sender was given ${stored[0]?.id}`)
  }

  // Commits.

  private judgeCommit(call: Call): void {
    const { number, letter, verdict, marks, emits, children } = call
    const isCommitted = this.committed.has(number)
    const heard = this.heard.get(number) ?? 0
    if (!isCommitted) {
      if (heard > 0) this.complain('I8', `call ${number} of ${letter.uid} emitted and was not committed`)
      return
    }
    if (verdict?.kind !== 'done' || marks === 0) {
      this.complain('I8', `call ${number} of ${letter.uid} is ${verdict?.kind ?? 'unended'}, and was committed`)
    }
    if (heard !== emits)
      this.complain('I8', `call ${number} of ${letter.uid} emitted ${emits} times: ${heard} are there`)
    const missing = children.filter((child) => !this.isFound(child) && !this.mayVanish(child))
    if (missing.length > 0)
      this.complain(
        'I8',
        `call ${number} of ${letter.uid} was committed without ${missing.map(({ uid }) => uid).join()}`,
      )
  }

  private isFound(letter: Letter): boolean {
    const { marks, dead, expired } = this.fateOf(letter)
    return marks.length + dead.length + expired.length > 0
  }

  // Senders.

  private judgeReceipt(sending: Sending): void {
    const { number, letter, words, party, promised, call } = sending
    if (letter.plan.receipt === 'none') return
    const isSent = call === null ? sending.outcome === 'stored' : this.isCommittedAlive(call)
    if (isSent && words.length === 0 && !party.isDead)
      this.complain('receipt', `send ${number} of ${letter.uid} was never told how it ended`)
    for (const word of words) {
      if (word.status === 'unknown' && !party.isDead)
        this.complain('receipt', `send ${number} of ${letter.uid} was told: ${word.text}`)
      this.judgeWord(letter, word)
    }
    const [word] = words
    if (word !== undefined && promised !== null && (word.status !== promised.status || word.call !== promised.call))
      this.complain(
        'receipt',
        `send ${number} of ${letter.uid} was told ${list([word])}, its promise ${list([promised])}`,
      )
  }

  private isCommittedAlive({ number, party }: Call): boolean {
    return this.committed.has(number) && !party.isDead
  }

  /** What a named sender was told, over all lives. */
  private judgeWords(letter: Letter): void {
    const { uid, plan, inboxWords, sendings } = letter
    for (const word of inboxWords) this.judgeWord(letter, word)
    if (plan.receipt !== 'named' || plan.queue.work.way === 'receive') return
    const words = [...sendings.flatMap((one) => one.words), ...inboxWords].filter(({ status }) => status !== 'unknown')
    const isSent = (one: Sending): boolean =>
      one.call === null ? one.outcome === 'stored' : this.isStored(letter) === true
    const untold = sendings.filter((one) => isSent(one) && one.words.every(({ status }) => status === 'unknown'))
    const ids = new Set(inboxWords.map(({ id }) => id))
    if (untold.some(({ answeredAs }) => !ids.has(answeredAs)))
      this.complain('receipt', `of ${untold.length} sends of ${uid} the sender was told ${list(words) || 'nothing'}`)
    const sure = words.filter(({ isSure }) => isSure)
    if (sure.length > sendings.length && !words.some((word) => this.mayComeAgain(word)))
      this.complain('receipt', `${uid} was sent ${sendings.length} times, and its sender was told ${list(words)}`)
  }

  private judgeWord(letter: Letter, word: Word): void {
    const { uid, plan, calls } = letter
    const { marks, dead, expired } = this.fateOf(letter)
    const wrong = (why: string): void => {
      if (!this.mayBeUndone(letter, word)) this.complain('receipt', `${uid} was told ${list([word])}, and ${why}`)
    }
    if (word.status === 'unknown') return
    if (word.status === 'processed') {
      const call = word.call === null ? undefined : this.ledger.calls[word.call]
      if (call?.letter !== letter || call.verdict?.kind !== 'done') return wrong('no call of it ended so')
      if (plan.queue.work.way !== 'receive' && !plan.isSilent && marks.every((one) => one.call !== word.call))
        wrong('that was not committed')
    } else if (word.status === 'dead-lettered') {
      if (dead.length + expired.length === 0) wrong('there is no dead letter')
    } else if (word.status === 'failed') {
      if (plan.queue.hasDeadLetters) wrong('its queue has dead letters')
      else if (!calls.some((call) => this.isLast(call))) wrong('no last attempt failed')
    } else {
      if (marks.length > 0) wrong('it was processed')
      if (plan.ttlMs === null && plan.deadlineMs === null) wrong('it may wait for ever')
      else if (plan.queue.keepsExpired && plan.queue.hasDeadLetters && dead.length + expired.length === 0)
        wrong('what expired is not there')
      const times = letter.sendings.map(({ sentMs }) => sentMs)
      const earliest = Math.min(...times) + Math.min(plan.ttlMs ?? Infinity, plan.deadlineMs ?? Infinity)
      if (word.atMs < Math.floor(earliest) - 1 && !calls.some(isOver))
        wrong(`its time was ${earliest}, not ${word.atMs}`)
    }
  }

  /** The word is read before what it tells of is on the disk, and the power goes in between. */
  private mayBeUndone({ plan }: Letter, { atMs, life, via }: Word): boolean {
    const isHeldBack = this.plan.deliverAfter === 'sync' && (plan.receipt === 'named' || via === 'inbox')
    return !isHeldBack && this.ledger.powerWentBehind(atMs, life, this.syncedWithinMs(life))
  }

  /** It was told, and the acknowledgement of that was lost, or what it tells of. */
  private mayComeAgain({ atMs, life }: Word): boolean {
    return this.ledger.powerWentBehind(atMs, life, this.syncedWithinMs(life))
  }

  private syncedWithinMs(life: number): number {
    const plan = this.plan.lives[life]
    if (plan === undefined) return acknowledgedWithinMs
    if (plan.diskFull !== null) return Number.POSITIVE_INFINITY
    return acknowledgedWithinMs + 4 * plan.syncDelayMs
  }

  // Order.

  private judgeOrder(): void {
    for (const queue of this.plan.queues) {
      if (!keepsOrder(queue) || queue.work.way === 'receive') continue
      const done = [...this.ledger.letters.values()]
        .filter((one) => one.plan.queue === queue && one.plan.key !== null)
        .flatMap((letter) =>
          this.fateOf(letter).marks.map(({ call }) => ({ letter, at: this.committed.get(call) ?? 0 })),
        )
        .sort((one, other) => one.at - other.at)
      /** The last that was done, by who sent it and its key. */
      const last = new Map<string, Letter>()
      for (const { letter } of done) {
        const stream = `${letter.parent === null ? letter.sendings[0]?.party.slot : 'handlers'} ${letter.plan.key}`
        const before = last.get(stream)
        if (before !== undefined && this.isSentBefore(letter, before))
          this.complain('I5', `${letter.uid} of ${letter.plan.key} was sent before ${before.uid}, and done behind it`)
        last.set(stream, letter)
      }
    }
  }

  private isSentBefore(one: Letter, other: Letter): boolean {
    if (one.parent === null || other.parent === null) return numberOf(one) < numberOf(other)
    const at = this.committed.get(one.parent.number) ?? 0
    const otherAt = this.committed.get(other.parent.number) ?? 0
    return at < otherAt || (at === otherAt && one.index < other.index)
  }

  /** No attempt may follow. */
  private isLast(call: Call): boolean {
    const { verdict, attempt, letter } = call
    if (verdict?.kind === 'given up') return true
    return (verdict?.kind === 'failed' || this.ledger.mayBeRefused(call)) && attempt >= letter.plan.queue.retry.attempts
  }

  private fateOf({ uid }: Letter): Fate {
    return this.fates.get(uid) as Fate
  }

  private wasTold({ sendings, inboxWords }: Letter): boolean {
    return inboxWords.length > 0 || sendings.some(({ words }) => words.some(({ status }) => status !== 'unknown'))
  }
}

function numberOf({ sendings }: Letter): number {
  return sendings[0]?.number ?? 0
}

/** It ended, and not well. */
function isOver({ verdict }: Call): boolean {
  return verdict?.kind === 'failed' || verdict?.kind === 'given up'
}
