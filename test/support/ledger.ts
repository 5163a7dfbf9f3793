// What publishers and consumers of a broker saw, kept outside of it, and what must hold of that however often the broker
// was killed. A message is a number: which publisher, and its how many-th message.

const perPublisher = 2 ** 24

export function messageId(publisher: number, sequence: number): number {
  return publisher * perPublisher + sequence
}

function nameOf(id: number): string {
  return `message ${id % perPublisher} of publisher ${Math.floor(id / perPublisher)}`
}

/** What one consumer that has to see the order got, on one connection. */
interface OrderedLog {
  readonly queue: string
  readonly ids: number[]
}

interface QueueBook {
  /** How often it was delivered as if nobody had seen it, and what was wrong with that, in the order of arrival. */
  readonly fresh: Map<number, number>
  readonly falselyFresh: number[]
  readonly neverSent: number[]
  /** An acknowledgement was sent. */
  readonly acked: Set<number>
  /** Acknowledged, and the broker ended in good order since. */
  readonly surelyGone: Set<number>
  /** Copies that were there at the end. */
  readonly remained: Map<number, number>
}

export class Ledger {
  readonly sent: Map<number, number> = new Map()
  readonly confirmed: Set<number> = new Set()
  deliveries = 0
  private readonly books = new Map<string, QueueBook>()
  private readonly logs: OrderedLog[] = []
  private moves: { readonly source: string; readonly target: string } | null = null

  publish(id: number): void {
    this.sent.set(id, (this.sent.get(id) ?? 0) + 1)
  }

  confirm(id: number): void {
    this.confirmed.add(id)
  }

  /** Before the messages of one consumer on one connection; `isOrdered` if it is alone and puts nothing back. */
  openLog(queue: string, isOrdered: boolean): (id: number, redelivered: boolean) => void {
    const log: OrderedLog = { queue, ids: [] }
    if (isOrdered) this.logs.push(log)
    const { fresh, falselyFresh, neverSent } = this.book(queue)
    return (id, redelivered) => {
      if (isOrdered) log.ids.push(id)
      this.deliveries++
      const sent = this.sent.get(id) ?? 0
      if (sent === 0) neverSent.push(id)
      const before = fresh.get(id)
      fresh.set(id, (before ?? 0) + (redelivered ? 0 : 1))
      if (redelivered || before === undefined) return
      // Of what was sent several times, each copy may come once as if nobody had seen it.
      if (sent === 1 || before >= sent) falselyFresh.push(id)
    }
  }

  /** An acknowledgement was sent. Whether it is applied, nobody is told. */
  ack(queue: string, id: number): void {
    this.book(queue).acked.add(id)
  }

  /** The broker has taken an acknowledgement and has ended in good order after it. */
  settle(queue: string, id: number): void {
    this.book(queue).surelyGone.add(id)
  }

  /** What was in the queue at the end. */
  remain(queue: string, id: number): void {
    const { remained } = this.book(queue)
    remained.set(id, (remained.get(id) ?? 0) + 1)
  }

  /** Messages go from one queue to the other in transactions, so each is in exactly one of them. */
  movesBetween(source: string, target: string): void {
    this.moves = { source, target }
  }

  /** Everything that must not be, in words; empty if all is well. */
  violations(queues: readonly string[]): string[] {
    const found: string[] = []
    for (const queue of queues) found.push(...this.lost(queue), ...this.tooMany(queue))
    for (const log of this.logs) found.push(...this.outOfOrder(log))
    for (const [queue, book] of this.books) found.push(...this.misled(queue, book))
    found.push(...this.tornMoves())
    return found
  }

  private book(queue: string): QueueBook {
    let book = this.books.get(queue)
    if (book === undefined) {
      book = {
        fresh: new Map(),
        falselyFresh: [],
        neverSent: [],
        acked: new Set(),
        surelyGone: new Set(),
        remained: new Map(),
      }
      this.books.set(queue, book)
    }
    return book
  }

  private *lost(queue: string): Generator<string> {
    const { acked, remained } = this.book(queue)
    for (const id of this.confirmed) {
      if (!acked.has(id) && !remained.has(id)) yield `${nameOf(id)} was confirmed and is lost from ${queue}`
    }
  }

  private *tooMany(queue: string): Generator<string> {
    const { remained, surelyGone } = this.book(queue)
    for (const [id, copies] of remained) {
      const sent = this.sent.get(id) ?? 0
      if (copies > sent) yield `${nameOf(id)} is ${copies} times in ${queue} and was sent ${sent} times`
      if (sent === 1 && surelyGone.has(id)) yield `${nameOf(id)} was acknowledged and is back in ${queue}`
    }
  }

  /** Only what was sent once has one place in the order. */
  private *outOfOrder(log: OrderedLog): Generator<string> {
    const last = new Map<number, number>()
    for (const id of log.ids) {
      if (this.sent.get(id) !== 1) continue
      const publisher = Math.floor(id / perPublisher)
      const before = last.get(publisher) ?? -1
      if (before >= id) yield `${nameOf(id)} came after ${nameOf(before)} in ${log.queue}`
      last.set(publisher, id)
    }
  }

  private *misled(queue: string, { falselyFresh, neverSent }: QueueBook): Generator<string> {
    for (const id of neverSent) yield `${nameOf(id)} came from ${queue} and was never sent`
    for (const id of falselyFresh) yield `${nameOf(id)} came from ${queue} again without being marked as redelivered`
  }

  private *tornMoves(): Generator<string> {
    if (this.moves === null) return
    const { source, target } = this.moves
    const [from, to] = [this.book(source).remained, this.book(target).remained]
    for (const [id, sent] of this.sent) {
      const copies = (from.get(id) ?? 0) + (to.get(id) ?? 0)
      if (copies > sent) yield `${nameOf(id)} is ${copies} times in ${source} and ${target}, sent ${sent} times`
      if (copies === 0 && this.confirmed.has(id))
        yield `${nameOf(id)} was confirmed and is lost between ${source} and ${target}`
    }
    for (const id of to.keys()) if (!this.sent.has(id)) yield `${nameOf(id)} is in ${target} and was never sent`
  }
}
