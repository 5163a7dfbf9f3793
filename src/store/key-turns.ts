/**
 * Order per key: at most so many messages of one key are with consumers at a time, and keys take turns.
 *
 *     stage   entries out of the lanes, in a ring per key         key a: [1 4 7]   key b: [2 3]   key c: [5]
 *     turns   keys with a message that may go, each once          b → c            (a has one in flight)
 *
 * Memory is spent on keys in the stage and in flight alone. A key is known by a hash of 32 bits: two keys that share one
 * are one key, which costs them some concurrency and no order. 0 is no key: such messages never wait for each other.
 */
import { Deque } from '../lib/deque.ts'
import type { Entry } from './entry.ts'

class Key {
  readonly hash: number
  readonly waiting = new Deque<Entry>()
  inFlight = 0
  hasTurn = false

  constructor(hash: number) {
    this.hash = hash
  }
}

export class KeyTurns {
  /** Entries in the stage. */
  count = 0
  private readonly concurrency: number
  private readonly keys = new Map<number, Key>()
  private readonly turns = new Deque<Key>()

  constructor(concurrency: number) {
    this.concurrency = concurrency
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
    this.count--
    this.giveTurn(key)
  }

  /** A message that was taken is done with. */
  settled(entry: Entry): void {
    const key = this.keys.get(entry.keyHash)
    if (key === undefined) return
    key.inFlight--
    this.giveTurn(key)
    if (key.inFlight === 0 && key.waiting.length === 0) this.keys.delete(key.hash)
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
      if (key.inFlight === 0 && key.waiting.length === 0) this.keys.delete(key.hash)
    }
  }

  private keyOf(entry: Entry): Key {
    let key = this.keys.get(entry.keyHash)
    if (key === undefined) {
      key = new Key(entry.keyHash)
      this.keys.set(entry.keyHash, key)
    }
    return key
  }

  private giveTurn(key: Key): void {
    if (key.hasTurn || key.waiting.length === 0) return
    if (key.hash !== 0 && key.inFlight >= this.concurrency) return
    key.hasTurn = true
    this.turns.push(key)
  }
}
