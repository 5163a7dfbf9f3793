/**
 * All letters of a history, and what must hold of them: each that is stored is at exactly one station or gone for a reason,
 * none expires or appears before its time, and those of one key, or of a queue without keys, leave in the order they came
 * in. What was hidden comes behind all that was ready when it appeared, so its order is another: that in which it was due.
 */
import { crc32 } from '../../lib/crc32.ts'
import type { Field, FieldTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import type { FoundState } from './found-state.ts'
import {
  type DeathReason,
  Letter,
  type LetterQueue,
  type LetterWishes,
  noWishes,
  type Station,
  stationKey,
} from './letter.ts'
import { type Trace, Violation } from './trace.ts'

/** Expiry is looked at once in a turn, and a timestamp has no fraction. */
const lateMs = 2
/** When something is due is rounded up, and from then on it may wait for a millisecond at least. */
const lateHiddenMs = 4
/** What is due within so many ms appears together, in the order in which it came. */
const unitMs = 16

export class Letters {
  readonly all: Letter[] = []
  readonly queues: ReadonlyMap<string, LetterQueue>
  /** The latest the wall clock has shown: what had expired then may be gone, though the clock was set back since. */
  latestMs = 0
  /** By how much it was set back, all in all. */
  setBackMs = 0
  private readonly trace: Trace
  private readonly keepsDueOrder: boolean
  /** Queues with a basic.get under way: what it took is not known before it answers. */
  private readonly asked = new Map<string, number>()

  /** `keepsDueOrder` false: the wall clock may be set, and then what is due later may have appeared before. */
  constructor(queues: readonly LetterQueue[], trace: Trace, keepsDueOrder = true) {
    this.keepsDueOrder = keepsDueOrder
    this.queues = new Map(queues.map((queue) => [queue.name, queue]))
    this.trace = trace
  }

  make(
    queue: string,
    key: string | null,
    expirationMs: number,
    bodyBytes: number,
    wishes: LetterWishes = noWishes,
  ): Message {
    const letter = new Letter(this.queues, this.all.length + 1, key, expirationMs, bodyBytes, wishes)
    const { delayMs, priority, isTransient } = wishes
    this.all.push(letter)
    const properties: Properties = { messageId: `letter-${letter.id}`, deliveryMode: isTransient ? 1 : 2 }
    if (priority > 0) properties.priority = priority
    const headers = new Map<string, Field>()
    if (key !== null) headers.set('x-leveret-key', { tag: 'S', value: key })
    if (delayMs > 0) headers.set('x-leveret-delay', { tag: 'l', value: delayMs })
    if (headers.size > 0) properties.headers = headers
    if (expirationMs < Number.POSITIVE_INFINITY) properties.expiration = String(expirationMs)
    return Message.of('', queue, encodeProperties(properties), bodyOf(letter))
  }

  arrived(message: Message, lsn: number, nowMs: number): Letter {
    const letter = this.find(message)
    if (letter.hasArrived) throw this.violated('I3', `#${letter.id} came to the broker twice`)
    letter.publish(this.queues.get(message.routingKey) as LetterQueue, lsn, nowMs)
    return letter
  }

  noteAsked(queue: string, by: 1 | -1): void {
    this.asked.set(queue, (this.asked.get(queue) ?? 0) + by)
  }

  /** Whoever asked is gone: what was taken for him nobody has seen, and it comes back. */
  gaveUp(queue: string): void {
    this.noteAsked(queue, -1)
    for (const letter of this.all) {
      const { stations } = letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs)
      if (stations.some((station) => station.queue.name === queue)) letter.wasHandedOut = true
    }
  }

  /** A consumer or a basic.get got it: may it, and is it its turn? `sinceMs`: when it can have been taken at the earliest. */
  handedOut(message: Message, queue: string, lsn: number, nowMs: number, sinceMs: number, isAnswer: boolean): Letter {
    this.latestMs = Math.max(this.latestMs, nowMs)
    const letter = this.find(message)
    const station = this.stationOf(letter, message, queue, false, Number.MAX_SAFE_INTEGER)
    if (letter.isHeld) throw this.violated('I11', `#${letter.id} is with two consumers at a time`)
    if (station.ackedLsn < Number.POSITIVE_INFINITY) {
      throw this.violated('I2', `#${letter.id} came from ${queue} after it was acknowledged`)
    }
    letter.see(station, lsn)
    // Elsewhere nobody knows when exactly it came.
    const graceMs = letter.delayMs > 0 ? lateHiddenMs : lateMs
    if (station.deaths.length === 0 && this.deadlineOf(letter, station) + graceMs < sinceMs) {
      throw this.violated('I16', `#${letter.id} came from ${queue} after its time was over`)
    }
    this.checkKey(letter, station)
    if (!isAnswer && (this.asked.get(queue) ?? 0) === 0) this.checkTurn(letter, station)
    letter.isHeld = true
    letter.wasHandedOut = true
    return letter
  }

  acked(letter: Letter, lsn: number): void {
    // The queue was deleted meanwhile: that was its end.
    if (!letter.isHeld) return
    letter.isHeld = false
    letter.place.ackedLsn = lsn
  }

  rejected(letter: Letter, nowMs: number): void {
    if (!letter.isHeld) return
    letter.isHeld = false
    letter.place.rejectedMs = nowMs
  }

  requeued(letter: Letter): void {
    letter.isHeld = false
  }

  /** What is hidden in that queue for sure. All else that may be there can be on its way out of it at any time. */
  hiddenIn(queue: string): Letter[] {
    return this.all.filter((letter) => {
      const { stations, mayBeGone } = letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs)
      const [station] = stations
      return !mayBeGone && stations.length === 1 && station?.isHidden === true && station.queue.name === queue
    })
  }

  /** A purge took out what was ready and what was `hidden`; or the queue was deleted, and with it what consumers held. */
  emptied(queue: string, hidden: readonly Letter[], isDeleted: boolean, lsn: number): void {
    for (const letter of this.all) {
      if (letter.isHeld && letter.place.queue.name === queue) {
        if (isDeleted) this.acked(letter, lsn)
        continue
      }
      for (const station of letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs).stations) {
        if (station.queue.name === queue) station.mayBePurged = true
      }
    }
    for (const letter of hidden) letter.place.ackedLsn = lsn
  }

  /** How many may still be hidden in that queue if all is there that has been due for `graceMs`. */
  hiddenAtMost(queue: string, nowMs: number, graceMs: number): number {
    const mayBeHidden = (letter: Letter): boolean =>
      letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs).stations.some(
        (station) =>
          station.isHidden &&
          station.queue.name === queue &&
          // Elsewhere nobody knows when exactly it came.
          (station.deaths.length > 0 || letter.dueMs(station) + unitMs + graceMs > nowMs),
      )
    return this.all.filter(mayBeHidden).length
  }

  /** Is on the disk what must be? Returns where each was found. */
  check(found: FoundState, durableLsn: number): ReadonlyMap<Letter, Station> {
    if (found.failure !== null) throw this.violated('I13', found.failure.message)
    const places = new Map<Letter, Station>()
    for (const [queue, { messages, hidden }] of found.queues) {
      const stations: [Letter, Station][] = []
      for (const { message } of messages) stations.push(this.place(places, message, queue, false, durableLsn))
      this.checkOrder(stations)
      const queueOf = this.queues.get(queue) as LetterQueue
      let before: Letter | null = null
      let beforeMs = 0
      for (const { message, appearsMs } of hidden) {
        const [letter, station] = this.place(places, message, queue, true, durableLsn)
        this.checkDue(letter, station, appearsMs)
        if (station.deaths.length > 0) continue
        const isTogether =
          appearsMs === beforeMs && before !== null && rankOf(before, queueOf) === rankOf(letter, queueOf)
        if (isTogether && (before?.id ?? 0) > letter.id) {
          throw this.violated('I5', `in ${station.key} #${before?.id} is to appear before #${letter.id}`)
        }
        before = letter
        beforeMs = appearsMs
      }
    }
    for (const letter of this.all) {
      if (places.has(letter) || letter.isTransient || letter.possible(durableLsn, this.latestMs).mayBeGone) continue
      const what = letter.isConfirmed ? 'and was confirmed' : 'and is durable'
      throw this.violated('I1', `#${letter.id} is nowhere, was last in ${letter.place.key}, ${what}`)
    }
    return places
  }

  private place(
    places: Map<Letter, Station>,
    message: Message,
    queue: string,
    isHidden: boolean,
    durableLsn: number,
  ): [Letter, Station] {
    const letter = this.find(message)
    const other = places.get(letter)
    if (other !== undefined) {
      const here = stationKey(queue, [], isHidden)
      throw this.violated('I8', `#${letter.id} is twice there: in ${other.key}; and in ${here}`)
    }
    const station = this.stationOf(letter, message, queue, isHidden, durableLsn)
    if (letter.isTransient || letter.possible(durableLsn, this.latestMs).mustBeGone) {
      throw this.violated('I2', `#${letter.id} is in ${station.key} and must not be`)
    }
    places.set(letter, station)
    return [letter, station]
  }

  /** What of these is not found after damage; nothing else may differ. */
  missing(found: FoundState, places: ReadonlyMap<Letter, Station>, damage: string): Letter[] {
    const there = new Set<Letter>()
    const note = (message: Message, queue: string, isHidden: boolean): void => {
      const letter = this.find(message)
      const key = stationKey(queue, deathsOf(message), isHidden)
      const was = places.get(letter)?.key
      if (was !== key || there.has(letter)) {
        const before = there.has(letter) ? 'twice' : `and was ${was ?? 'nowhere'}`
        throw this.violated('I13', `after ${damage} #${letter.id} is in ${key}, ${before}`)
      }
      there.add(letter)
    }
    for (const [queue, { messages, hidden }] of found.queues) {
      for (const { message } of messages) note(message, queue, false)
      for (const { message } of hidden) note(message, queue, true)
    }
    return [...places.keys()].filter((letter) => !there.has(letter))
  }

  /**
   * Pages of an index were made again from the log: all must be there that was, and hidden if it was hidden. What was done
   * with before may come again.
   */
  checkRescued(found: FoundState, places: ReadonlyMap<Letter, Station>, damage: string): void {
    const there = new Set<string>()
    for (const [queue, { messages, hidden }] of found.queues) {
      for (const { message } of messages) {
        there.add(`${this.find(message).id} ${stationKey(queue, deathsOf(message), false)}`)
      }
      for (const { message, appearsMs } of hidden) {
        const letter = this.find(message)
        const key = stationKey(queue, deathsOf(message), true)
        const station = places.get(letter)
        if (station?.key === key) this.checkDue(letter, station, appearsMs)
        there.add(`${letter.id} ${key}`)
      }
    }
    for (const [letter, { key }] of places) {
      if (there.has(`${letter.id} ${key}`)) continue
      throw this.violated('I13', `after ${damage} salvage does not find #${letter.id} in ${key}`)
    }
  }

  /** A broker begins with that. */
  adopt(places: ReadonlyMap<Letter, Station>): void {
    for (const [queue, count] of this.asked) if (count > 0) this.gaveUp(queue)
    this.asked.clear()
    for (const letter of this.all) letter.adopt(places.get(letter) ?? null)
  }

  /** The first that is neither consumed nor may be gone; null if there is none. */
  leftOver(): Letter | null {
    return this.all.find((letter) => !letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs).mayBeGone) ?? null
  }

  violated(invariant: string, text: string): Violation {
    return this.trace.violated(new Violation(invariant, text))
  }

  private find(message: Message): Letter {
    const { messageId } = message.decodeProperties()
    const letter = this.all[Number(messageId?.slice('letter-'.length)) - 1]
    if (letter === undefined) throw this.violated('I3', 'there is a letter that nobody sent')
    if (!message.body.equals(bodyOf(letter))) throw this.violated('I3', `#${letter.id} has another body`)
    return letter
  }

  /** Where it says it is, if it can be there. */
  private stationOf(letter: Letter, message: Message, queue: string, isHidden: boolean, durableLsn: number): Station {
    const key = stationKey(queue, deathsOf(message), isHidden)
    const { stations } = letter.possible(durableLsn, this.latestMs)
    // What left a queue before the clock was set back may have come to the next one, and begun to wait, behind that.
    const { stations: sooner } = letter.possible(durableLsn, this.latestMs + this.setBackMs)
    const station = stations.find((one) => one.key === key) ?? sooner.find((one) => one.key === key)
    if (station !== undefined) return station
    const others = stations.map((one) => one.key).join('; or in ')
    const isEarly = letter.possible(durableLsn, Number.MAX_SAFE_INTEGER).stations.some((one) => one.key === key)
    if (isEarly) throw this.violated('I16', `#${letter.id} is in ${key} before its time came; it may be in ${others}`)
    throw this.violated('I8', `#${letter.id} is in ${key}; it may be ${others === '' ? 'nowhere' : `in ${others}`}`)
  }

  private deadlineOf(letter: Letter, station: Station): number {
    return letter.expiresMs({ ...station, fromMs: letter.publishedMs + letter.delayMs })
  }

  private checkDue(letter: Letter, station: Station, appearsMs: number): void {
    const dueMs = letter.dueMs(station)
    // Elsewhere nobody knows when exactly it came.
    const isLate = station.deaths.length === 0 && dueMs + unitMs < appearsMs
    if (appearsMs > dueMs && !isLate) return
    throw this.violated('I16', `#${letter.id} is ${station.key}, due in ${dueMs}, and is to appear in ${appearsMs}`)
  }

  private checkKey(letter: Letter, { queue }: Station): void {
    if (queue.keyed === 0 || letter.key === null) return
    const others = this.all.filter((one) => one.isHeld && one.key === letter.key && one.place.queue === queue)
    if (others.length >= queue.keyed) {
      const held = others.map(({ id }) => `#${id}`).join(' ')
      throw this.violated('I5', `#${letter.id} of key ${letter.key} came while ${held} of that key were unacknowledged`)
    }
  }

  /** Nobody gets it while an earlier one, of its key if the queue has keys, is ready for sure. */
  private checkTurn(letter: Letter, station: Station): void {
    if (station.deaths.length > 0 || (station.queue.keyed > 0 && letter.key === null)) return
    if (letter.delayMs > 0) return
    for (const other of this.all) {
      if (other === letter) return
      if (other.delayMs > 0) continue
      if (!other.hasArrived || other.isHeld || other.isGone || other.place.queue !== station.queue) continue
      if (station.queue.keyed > 0 && other.key !== letter.key) continue
      if (rankOf(other, station.queue) !== rankOf(letter, station.queue)) continue
      if (other.place.deaths.length > 0) continue
      const { stations, mayBeGone } = other.possible(Number.MAX_SAFE_INTEGER, this.latestMs)
      if (mayBeGone || stations.length > 1) continue
      throw this.violated('I5', `#${letter.id} came from ${station.queue.name} before #${other.id}, which is ready`)
    }
  }

  /** What was never handed out stands in the order it was sent in, in its first queue and wherever it expired to. */
  private checkOrder(stations: readonly (readonly [Letter, Station])[]): void {
    const last = new Map<string, Letter>()
    for (const [letter, station] of stations) {
      const wasMoved = station.deaths.length > 0
      if (wasMoved && (letter.wasHandedOut || station.deaths.some(({ reason }) => reason === 'rejected'))) continue
      const passed = [station.queue, ...station.deaths.map(({ queue }) => this.queues.get(queue) as LetterQueue)]
      const isKeyed = passed.some(({ keyed }) => keyed > 0)
      if (isKeyed && letter.key === null) continue
      const isDelayed = letter.delayMs > 0
      if (isDelayed && (wasMoved || !this.keepsDueOrder)) continue
      const ranks = passed.map((queue) => rankOf(letter, queue)).join(' ')
      const group = `${station.key} ${ranks} ${isKeyed ? letter.key : ''} ${isDelayed ? 'delayed' : ''}`
      const before = last.get(group)
      if (before !== undefined && isBefore(letter, before)) {
        throw this.violated('I5', `in ${station.key} #${before.id} stands before #${letter.id}`)
      }
      last.set(group, letter)
    }
  }
}

function rankOf({ wishes }: Letter, { maxPriority }: LetterQueue): number {
  return Math.min(wishes.priority, maxPriority)
}

/** In the order in which they come to be ready. */
function isBefore(left: Letter, right: Letter): boolean {
  const [leftUnit, rightUnit] = [left, right].map(({ publishedMs, delayMs }) =>
    delayMs > 0 ? Math.floor(Math.ceil(publishedMs + delayMs) / unitMs) : 0,
  ) as [number, number]
  return leftUnit === rightUnit ? left.id < right.id : leftUnit < rightUnit
}

function bodyOf({ id, bodyBytes }: Letter): Buffer {
  const body = Buffer.alloc(bodyBytes)
  const seed = Buffer.from(String(id))
  for (let at = 0, word = crc32(seed, 0, seed.length, 0); at + 4 <= bodyBytes; at += 4) {
    body.writeUInt32LE(word, at)
    word = (Math.imul(word, 0x9e3779b1) + at) >>> 0
  }
  return body
}

function deathsOf(message: Message): { queue: string; reason: DeathReason; count: number }[] {
  const events = (message.decodeProperties().headers?.get('x-death')?.value ?? []) as readonly Field[]
  return events.map(({ value }) => {
    const event = value as FieldTable
    return {
      queue: String(event.get('queue')?.value as string),
      reason: event.get('reason')?.value as DeathReason,
      count: Number(event.get('count')?.value),
    }
  })
}
