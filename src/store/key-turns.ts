/**
 * Order per key: at most so many messages of one key are with consumers at a time, and keys take turns.
 *
 *     stage   entries out of the lanes, in a ring per key         key a: [1 4 7]   key b: [2 3]   key c: [5]
 *     turns   keys with a message that may go, each once          b → c            (a has one in flight)
 *
 * Memory is spent on keys in the stage and in flight alone. A key is known by a hash of 32 bits: two keys that share one
 * are one key, which costs them some concurrency and no order. 0 is no key: such messages never wait for each other.
 *
 * Where a rate is given a key that has had its messages has to wait by the clock, too: see lib/rate-meter.ts. It is remembered until
 * its time has passed, also if nothing of it is there.
 */
import { Deque } from '../lib/deque.ts'
import { Heap } from '../lib/heap.ts'
import type { Rate } from '../lib/rate-meter.ts'
import { RateMeter } from '../lib/rate-meter.ts'
import { limits } from '../model/limits.ts'
import type { Entry } from './entry.ts'

/** Keys are forgotten so long after their time has passed, at the latest: not each by a timer of its own. */
const forgottenAfterMs = 1_000

class Key {
  readonly hash: number
  readonly waiting = new Deque<Entry>()
  inFlight = 0
  hasTurn = false
  /** Null: it may have as many messages as there are. */
  readonly pace: RateMeter | null
  /** Its turn comes by the clock: it is in `paced`. */
  isPaced = false
  /** It is in `resting`. */
  isResting = false

  constructor(hash: number, pace: RateMeter | null) {
    this.hash = hash
    this.pace = pace
  }

  get isIdle(): boolean {
    return this.inFlight === 0 && this.waiting.length === 0
  }
}

interface Timed {
  readonly atMs: number
  readonly key: Key
}

function timedHeap(): Heap<Timed> {
  return new Heap<Timed>((left, right) => left.atMs < right.atMs)
}

export class KeyTurns {
  /** Entries in the stage. */
  count = 0
  private readonly concurrency: number
  private readonly keys = new Map<number, Key>()
  private readonly turns = new Deque<Key>()
  private readonly rate: Rate | null
  /** Monotonic, as `advance` was told. */
  private nowMs = 0
  /** Keys with a message that may go at that time. */
  private readonly paced = timedHeap()
  /** Keys of which nothing is there, or was not, and when they can be forgotten. */
  private readonly resting = timedHeap()

  /** `rate` null: what is handed out is not counted. */
  constructor(concurrency: number, rate: Rate | null = null) {
    this.concurrency = concurrency
    this.rate = rate
  }

  /** Whether keys may have to wait by the clock. */
  get isPaced(): boolean {
    return this.rate !== null
  }

  /** Whether some key has a message that may go. */
  get hasTurns(): boolean {
    return this.turns.length > 0
  }

  /** When `advance` has something to do, in monotonic ms; infinity: never. */
  get nextMs(): number {
    const turnMs = this.paced.peek()?.atMs ?? Number.POSITIVE_INFINITY
    return Math.min(turnMs, (this.resting.peek()?.atMs ?? Number.POSITIVE_INFINITY) + forgottenAfterMs)
  }

  /** Gives a turn to keys that have waited long enough, and forgets those that need not be remembered any more. */
  advance(nowMs: number): void {
    this.nowMs = nowMs
    for (let first = this.paced.peek(); first !== undefined && first.atMs <= nowMs; first = this.paced.peek()) {
      this.paced.pop()
      first.key.isPaced = false
      this.giveTurn(first.key)
    }
    for (let first = this.resting.peek(); first !== undefined && first.atMs <= nowMs; first = this.resting.peek()) {
      this.wakeResting()
    }
  }

  /** The entry is the last of its key. */
  add(entry: Entry): void {
    const key = this.keyOf(entry)
    key.waiting.push(entry)
    this.count++
    this.giveTurn(key)
  }

  /** The entry comes back from a consumer, to its old place among those of its key. */
  putBack(entry: Entry): void {
    const key = this.keyOf(entry)
    key.inFlight--
    const later: Entry[] = []
    for (
      let first = key.waiting.peek();
      first !== undefined && first.sequence < entry.sequence;
      first = key.waiting.peek()
    ) {
      later.push(key.waiting.shift() as Entry)
    }
    key.waiting.unshift(entry)
    for (const other of later.reverse()) key.waiting.unshift(other)
    this.count++
    this.giveTurn(key)
  }

  /** The entry whose turn it is, one with its message if there is one; undefined if every key has to wait. */
  peek(): Entry | undefined {
    for (let left = this.turns.length; left > 0; left--) {
      const entry = (this.turns.peek() as Key).waiting.peek() as Entry
      if (entry.message !== null) return entry
      this.turns.push(this.turns.shift() as Key)
    }
    return this.turns.peek()?.waiting.peek()
  }

  /** Takes out what `peek` returned: it is with a consumer until `settled` or `putBack`. */
  take(): void {
    const key = this.turns.shift() as Key
    key.hasTurn = false
    key.waiting.shift()
    key.inFlight++
    key.pace?.count(this.nowMs)
    this.count--
    this.giveTurn(key)
  }

  /** A message that was taken is done with. */
  settled(entry: Entry): void {
    const key = this.keys.get(entry.keyHash)
    if (key === undefined) return
    key.inFlight--
    this.giveTurn(key)
    if (key.isIdle) this.rest(key)
  }

  /** Visits the entries whose turn comes next, the first of each key. */
  forEachNext(visit: (entry: Entry) => void): void {
    for (let at = 0; at < this.turns.length; at++) visit((this.turns.get(at) as Key).waiting.peek() as Entry)
  }

  /** Visits the first entry of each key. */
  forEachFirst(visit: (entry: Entry) => void): void {
    for (const { waiting } of this.keys.values()) {
      const first = waiting.peek()
      if (first !== undefined) visit(first)
    }
  }

  /** Some first entry of a key that had expired by then. */
  firstExpired(nowMs: number): Entry | undefined {
    for (const { waiting } of this.keys.values()) {
      const first = waiting.peek()
      if (first !== undefined && first.expiresAt > 0 && first.expiresAt <= nowMs) return first
    }
    return undefined
  }

  /** The entry that came first, whose turn it may not be. */
  oldest(): Entry | undefined {
    let oldest: Entry | undefined
    for (const { waiting } of this.keys.values()) {
      const first = waiting.peek()
      if (first !== undefined && (oldest === undefined || first.sequence < oldest.sequence)) oldest = first
    }
    return oldest
  }

  forEachEntry(visit: (entry: Entry) => void): void {
    for (const { waiting } of this.keys.values()) {
      for (let at = 0; at < waiting.length; at++) visit(waiting.get(at) as Entry)
    }
  }

  /** The entry of that key with that sequence, which waits here; undefined if it does not. */
  find(hash: number, sequence: number): Entry | undefined {
    const waiting = this.keys.get(hash)?.waiting
    for (let at = 0; waiting !== undefined && at < waiting.length; at++) {
      if (waiting.get(at)?.sequence === sequence) return waiting.get(at)
    }
    return undefined
  }

  /** Takes the first entry of its key out, as if it had been handed out: whoever settles it ends that. */
  expire(entry: Entry): void {
    this.drop(entry)
    this.keyOf(entry).inFlight++
  }

  /** Takes an entry out of the stage that nobody gets: it cannot be read. */
  drop(entry: Entry): void {
    const key = this.keys.get(entry.keyHash)
    if (key === undefined) return
    const others: Entry[] = []
    for (let one = key.waiting.shift(); one !== undefined; one = key.waiting.shift())
      if (one !== entry) others.push(one)
    for (const other of others) key.waiting.push(other)
    this.recount()
  }

  /** Takes everything out that waits. */
  clear(): void {
    for (const key of this.keys.values()) key.waiting.clear()
    this.recount()
  }

  private recount(): void {
    this.count = 0
    for (let key = this.turns.shift(); key !== undefined; key = this.turns.shift()) key.hasTurn = false
    for (const key of this.keys.values()) {
      this.count += key.waiting.length
      this.giveTurn(key)
      if (key.isIdle) this.rest(key)
    }
  }

  private keyOf(entry: Entry): Key {
    let key = this.keys.get(entry.keyHash)
    if (key === undefined) {
      const { rate } = this
      key = new Key(entry.keyHash, rate === null || entry.keyHash === 0 ? null : new RateMeter(rate))
      this.keys.set(entry.keyHash, key)
    }
    return key
  }

  private giveTurn(key: Key): void {
    if (key.hasTurn || key.waiting.length === 0) return
    if (key.hash !== 0 && key.inFlight >= this.concurrency) return
    if (key.pace !== null && key.pace.nextMs > this.nowMs) return this.waitForTime(key, key.pace.nextMs)
    key.hasTurn = true
    this.turns.push(key)
  }

  private waitForTime(key: Key, atMs: number): void {
    if (key.isPaced) return
    key.isPaced = true
    this.paced.push({ atMs, key })
  }

  /** Nothing of the key is there any more. */
  private rest(key: Key): void {
    if (key.pace === null || key.pace.freeMs <= this.nowMs) {
      this.keys.delete(key.hash)
      return
    }
    if (key.isResting) return
    key.isResting = true
    this.resting.push({ atMs: key.pace.freeMs, key })
    // Those whose time ends first know the least.
    if (this.resting.length > limits.keyRatesMax) this.wakeResting(true)
  }

  /** The first that rests is forgotten if nothing of it is there and its time has passed, or in any case. */
  private wakeResting(inAnyCase = false): void {
    const key = (this.resting.pop() as Timed).key
    key.isResting = false
    if (!key.isIdle) return
    if (inAnyCase) this.keys.delete(key.hash)
    else this.rest(key)
  }
}
