// What was seen of each message, from all sides, and what may not be so: the ledger, the dead letters, the receipts and the
// marks of idempotency have to tell one story, and it has to be the one that was planned.
import { endsAsDeadLetter, type Planned } from './plan.ts'

/** What a handler sent with its commit. */
export interface Entry {
  readonly index: number
  readonly key: string
  readonly number: number
  readonly attempt: number
  /** Of the call of the handler. */
  readonly token: string
  readonly messageId: string
  /** What the handler did then. */
  readonly step: string
}

export interface DeadLetter {
  readonly index: number
  readonly token: string
  readonly messageId: string
  readonly attempts: number
}

/** A send that resolved. */
export interface Stored {
  /** Which send of which process, as `life.number`. */
  readonly send: string
  readonly index: number
  readonly id: string
  readonly duplicate: boolean
}

/** What a sender was told: by a callback, in its inbox, or when it sent the message once more at the end. */
export interface Told {
  readonly index: number
  readonly word: 'processed' | 'dead-lettered'
  /** Of the call of the handler that it tells of. */
  readonly token: string
}

export class LedgerRecord {
  /** In the order of the queue. */
  readonly entries: Entry[] = []
  readonly deadLetters: DeadLetter[] = []
  readonly stored: Stored[] = []
  /** By callbacks: the real outcome, or null if the connection was lost before. */
  readonly callbacks: { readonly send: string; readonly told: Told | null }[] = []
  /** By the id of the message that was sent. */
  readonly inbox: { readonly id: string; readonly told: Told }[] = []
  /** Sent once more when all was over. */
  readonly again: { readonly stored: Stored; readonly told: Told }[] = []
  private readonly plan: readonly Planned[]

  constructor(plan: readonly Planned[]) {
    this.plan = plan
  }

  /** Whatever is not as it has to be, in words. */
  violations(): string[] {
    return [
      ...this.wrongEnds(),
      ...this.wrongOrder(),
      ...this.wrongMarks(),
      ...this.wrongStories(),
      ...this.wrongReceipts(),
    ]
  }

  /** Each message is in the ledger once, or a dead letter once, and so as was planned. */
  private wrongEnds(): string[] {
    const entries = groupBy(this.entries, ({ index }) => index)
    const letters = groupBy(this.deadLetters, ({ index }) => index)
    const wrong: string[] = []
    for (const planned of this.plan) {
      const { index, steps } = planned
      const [inLedger, dead] = [entries.get(index) ?? [], letters.get(index) ?? []]
      const wanted = endsAsDeadLetter(planned) ? [0, 1] : [1, 0]
      if (inLedger.length !== wanted[0] || dead.length !== wanted[1]) {
        wrong.push(
          `message ${index}: ${inLedger.length} entries, ${dead.length} dead letters, not ${wanted.join(', ')}`,
        )
      }
      const attempts = [...inLedger.map(({ attempt }) => attempt), ...dead.map((letter) => letter.attempts)]
      for (const attempt of attempts) {
        if (attempt !== steps.length) wrong.push(`message ${index}: ended in attempt ${attempt} of ${steps.length}`)
      }
      for (const { step } of inLedger) {
        if (step !== 'process') wrong.push(`message ${index}: what an attempt that did '${step}' sent is stored`)
      }
    }
    return wrong
  }

  /** Of each key, in the order in which they were sent. */
  private wrongOrder(): string[] {
    const last = new Map<string, Entry>()
    const wrong: string[] = []
    for (const entry of this.entries) {
      const before = last.get(entry.key)
      if (before !== undefined && before.number >= entry.number) {
        wrong.push(`${entry.key}: number ${entry.number} (message ${entry.index}) came behind ${before.number}`)
      }
      last.set(entry.key, entry)
    }
    return wrong
  }

  /** One send was taken, and whoever sends it again when all is over is given the id that the worker saw. */
  private wrongMarks(): string[] {
    const ids = this.idsByIndex()
    const wrong: string[] = []
    for (const { stored } of this.again) {
      const { index, id, duplicate } = stored
      if (!duplicate) wrong.push(`message ${index}: was taken once more`)
      if (ids.get(index) !== id) wrong.push(`message ${index}: was said to be ${id}, but it was ${ids.get(index)}`)
    }
    const taken = this.stored.filter(({ index, id }) => ids.get(index) !== id)
    for (const { index, id, duplicate } of taken) {
      wrong.push(duplicate ? `message ${index}: is no duplicate of ${id}` : `message ${index}: was not taken as ${id}`)
    }
    return wrong
  }

  /** What senders are told comes from the call of the handler whose commit is there. */
  private wrongStories(): string[] {
    const tokens = new Map<number, string>()
    for (const { index, token } of this.entries) tokens.set(index, `processed by ${token}`)
    for (const { index, token } of this.deadLetters) tokens.set(index, `dead-lettered by ${token}`)
    return this.allTold()
      .filter(({ index, word, token }) => tokens.get(index) !== `${word} by ${token}`)
      .map((told) => `message ${told.index}: told ${told.word} by ${told.token}, but it was ${tokens.get(told.index)}`)
  }

  /** Everybody who knows that it is stored is told what became of it, once. */
  private wrongReceipts(): string[] {
    const wrong: string[] = []
    for (const [send, several] of groupBy(this.callbacks, (callback) => callback.send)) {
      if (several.length > 1) wrong.push(`send ${send}: ${several.length} callbacks`)
    }
    for (const [id, several] of groupBy(this.inbox, (outcome) => outcome.id)) {
      if (several.length > 1) wrong.push(`the inbox has ${several.length} outcomes of ${id}`)
    }
    const answered = new Set(this.callbacks.flatMap(({ send, told }) => (told === null ? [] : [send])))
    const inInbox = new Set(this.inbox.map(({ id }) => id))
    for (const { send, index, id, duplicate } of this.stored) {
      // The id of a duplicate is that of the first, and its own nobody knows.
      if (!duplicate && !answered.has(send) && !inInbox.has(id)) {
        wrong.push(`message ${index}: nobody told its sender (send ${send}, ${id})`)
      }
    }
    const stored = groupBy(this.stored, ({ index }) => index)
    const told = groupBy(this.allTold(), ({ index }) => index)
    for (const { index } of this.plan) {
      const [sends, answers] = [stored.get(index)?.length ?? 0, told.get(index)?.length ?? 0]
      // One of the answers is for who sent it again at the end.
      if (answers < sends + 1) wrong.push(`message ${index}: ${answers} answers to ${sends + 1} sends`)
    }
    return wrong
  }

  private idsByIndex(): Map<number, string> {
    return new Map([...this.entries, ...this.deadLetters].map(({ index, messageId }) => [index, messageId]))
  }

  private allTold(): Told[] {
    return [
      ...this.callbacks.flatMap(({ told }) => (told === null ? [] : [told])),
      ...this.inbox.map(({ told }) => told),
      ...this.again.map(({ told }) => told),
    ]
  }
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
