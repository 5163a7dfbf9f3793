/**
 * All letters of a history, and what must hold of them: each that is stored is at exactly one station or gone for a reason,
 * none expires or appears before its time, and those of one key, or of a queue without keys, leave in the order they came
 * in. What was hidden comes behind all that was ready when it appeared, so its order is another: that in which it was due.
 */
import type { Message } from '../../model/message.ts'
import type { FoundState } from './found-state.ts'
import {
  delayQueue,
  Letter,
  type LetterQueue,
  type LetterWishes,
  noWishes,
  type Possible,
  rankOf,
  type Station,
  stationKey,
} from './letter.ts'
import { isLimited, markDropped, mayBeFull } from './letter-limits.ts'
import { deathsOf, idOf, isUnharmed, messageOf } from './letter-message.ts'
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
  private arrivals = 0
  /** Queues that drop what is too much. */
  private readonly limited: readonly LetterQueue[]
  private markedMs = 0
  /** Queues with a basic.get under way: what it took is not known before it answers. */
  private readonly asked = new Map<string, number>()

  /** `keepsDueOrder` false: the wall clock may be set, and then what is due later may have appeared before. */
  constructor(queues: readonly LetterQueue[], trace: Trace, keepsDueOrder = true) {
    this.keepsDueOrder = keepsDueOrder
    this.queues = new Map(queues.map((queue) => [queue.name, queue]))
    this.limited = queues.filter((queue) => isLimited(queue) && queue.rules.overflow === 'drop-head')
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
    this.all.push(letter)
    return messageOf(letter, queue)
  }

  arrived(message: Message, lsn: number, nowMs: number): Letter {
    const letter = this.find(message)
    if (letter.hasArrived) throw this.violated('I3', `#${letter.id} came to the broker twice`)
    this.mark()
    const queue = this.queues.get(message.routingKey) as LetterQueue
    const mayBeRefused = isLimited(queue) && queue.rules.overflow !== 'drop-head' && letter.wishes.keptBackMs === 0
    if (mayBeRefused && mayBeFull(queue, this.all, letter.bodyBytes, this.latestMs + this.setBackMs))
      letter.refusal = 'possible'
    letter.arrival = ++this.arrivals
    letter.publish(queue, lsn, nowMs)
    this.mark()
    return letter
  }

  /** Its publisher was told whether it was taken. */
  answered(letter: Letter, isAccepted: boolean): void {
    if (isAccepted) {
      letter.refusal = 'none'
      return
    }
    if (letter.refusal === 'none') throw this.violated('I9', `#${letter.id} is refused, and there was room`)
    if (letter.wasGotAtHome) {
      throw this.violated('I9', `#${letter.id} is refused, and somebody had it`)
    }
    letter.refusal = 'certain'
  }

  /** Notes what may have been dropped: before anything goes for sure, and after something came. */
  private mark(): void {
    if (this.limited.length > 0) {
      markDropped(this.all, this.limited, this.markedMs, this.latestMs + this.setBackMs)
    }
    this.markedMs = this.latestMs
  }

  noteAsked(queue: string, by: 1 | -1): void {
    this.asked.set(queue, (this.asked.get(queue) ?? 0) + by)
  }

  /** Whoever asked is gone: what was taken for him nobody has seen, and it comes back. */
  gaveUp(queue: string): void {
    this.noteAsked(queue, -1)
    for (const letter of this.all) {
      if (letter.isHeld) continue
      const { stations } = letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs)
      for (const station of stations) {
        if (station.queue.name !== queue) continue
        letter.wasHandedOut = true
        station.handedOutMax++
        // It came back from there, perhaps once too often.
        const { deliveryLimit } = station.queue.rules
        if (deliveryLimit !== null && station.handedOutMax > deliveryLimit) {
          station.givenUpMs = Math.min(station.givenUpMs, this.markedMs)
        }
      }
    }
  }

  /** A consumer or a basic.get got it: may it, and is it its turn? `sinceMs`: when it can have been taken at the earliest. */
  handedOut(message: Message, queue: string, lsn: number, nowMs: number, sinceMs: number, isAnswer: boolean): Letter {
    this.latestMs = Math.max(this.latestMs, nowMs)
    this.mark()
    const letter = this.find(message)
    const station = this.stationOf(letter, message, queue, false, Number.MAX_SAFE_INTEGER)
    if (letter.isHeld) throw this.violated('I11', `#${letter.id} is with two consumers at a time`)
    if (station.ackedLsn < Number.POSITIVE_INFINITY) {
      throw this.violated('I2', `#${letter.id} came from ${queue} after it was acknowledged`)
    }
    if (station.rejectedMs < Number.POSITIVE_INFINITY) {
      throw this.violated('I2', `#${letter.id} came from ${queue} after it was rejected`)
    }
    this.checkCount(letter, station, message, lsn)
    letter.see(station, lsn)
    // Elsewhere nobody knows when exactly it came.
    const graceMs = letter.isDelayed ? lateHiddenMs : lateMs
    if (isFirst(letter, station) && this.deadlineOf(letter, station) + graceMs < sinceMs) {
      throw this.violated('I16', `#${letter.id} came from ${queue} after its time was over`)
    }
    // What basic.get took before its queue was deleted is of no key of the new one.
    if (!station.mayBePurged) this.checkKey(letter, station)
    if (!isAnswer && (this.asked.get(queue) ?? 0) === 0) this.checkTurn(letter, station)
    letter.isHeld = true
    letter.wasHandedOut = true
    if (station === letter.seen[0]) letter.wasGotAtHome = true
    return letter
  }

  /** Receivers are told how often it was handed out before, where that counts. */
  private checkCount(letter: Letter, station: Station, message: Message, lsn: number): void {
    const told = Number(message.decodeProperties().headers?.get('x-delivery-count')?.value ?? 0)
    const { handedOutMin, handedOutMax, queue } = station
    const { deliveryLimit } = queue.rules
    if (deliveryLimit === null) {
      if (told === 0) return
      throw this.violated('I7', `#${letter.id} tells of deliveries in ${queue.name}, where nobody counts them`)
    }
    if (told < handedOutMin || told > handedOutMax) {
      const known = `between ${handedOutMin} and ${handedOutMax}`
      throw this.violated('I7', `#${letter.id} of ${station.key} was handed out ${told} times before, not ${known}`)
    }
    // That it was handed out when a life ended is known at best; it did not come back then.
    // Of what was due when a life ended once is taken for granted.
    const isTaken = told === 1 && handedOutMin === 0
    if (station.mustGo || (told > deliveryLimit && !station.isAdopted && !isTaken)) {
      throw this.violated(
        'I7',
        `#${letter.id} came back to ${station.key} ${told} times, and ${deliveryLimit} are enough`,
      )
    }
    station.handedOutMin = told + 1
    station.handedOutMax = told + 1
    // From the second time on it is written down, whatever ends this life.
    if (told > 0) station.counted.push({ count: told + 1, lsn })
  }

  acked(letter: Letter, lsn: number): void {
    // The queue was deleted meanwhile: that was its end.
    if (!letter.isHeld) return
    this.mark()
    letter.isHeld = false
    letter.place.ackedLsn = lsn
  }

  rejected(letter: Letter, nowMs: number): void {
    if (!letter.isHeld) return
    letter.isHeld = false
    letter.place.rejectedMs = nowMs
  }

  requeued(letter: Letter, lsn: number, nowMs: number): void {
    if (!letter.isHeld) return
    letter.isHeld = false
    const { place } = letter
    const { deliveryLimit } = place.queue.rules
    if (deliveryLimit !== null) {
      // From here on it is as if somebody had rejected it: that it came back is not written down before it is gone.
      if (place.handedOutMin > deliveryLimit) {
        place.givenUpMs = nowMs
        place.mustGo = true
      } else place.counted.push({ count: place.handedOutMin, lsn })
    }
    this.mark()
  }

  /** The broker ends, and gives back what anybody has. */
  ended(lsn: number, nowMs: number): void {
    for (const letter of this.all) if (letter.isHeld) this.requeued(letter, lsn, nowMs)
    // So it does with what it took for somebody and has not told him of.
    this.giveUpAsked()
  }

  private giveUpAsked(): void {
    for (const [queue, count] of this.asked) if (count > 0) this.gaveUp(queue)
    this.asked.clear()
  }

  /** What is hidden in that queue for sure. All else that may be there can be on its way out of it at any time. */
  hiddenIn(queue: string): Letter[] {
    return this.all.filter((letter) => {
      const { stations, mayBeGone } = this.reach(letter, Number.MAX_SAFE_INTEGER)
      const [station] = stations
      return !mayBeGone && stations.length === 1 && station?.isHidden === true && station.queue.name === queue
    })
  }

  /** A purge took out what was ready and what was `hidden`; or the queue was deleted, and with it what consumers held. */
  emptied(queue: string, hidden: readonly Letter[], isDeleted: boolean, lsn: number): void {
    this.mark()
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
          (!isFirst(letter, station) || letter.dueMs(station) + unitMs + graceMs > nowMs),
      )
    return this.all.filter(mayBeHidden).length
  }

  /** Is on the disk what must be? Returns where each was found. */
  check(found: FoundState, durableLsn: number): ReadonlyMap<Letter, Station> {
    if (found.failure !== null) throw this.violated('I13', found.failure.message)
    this.mark()
    const lsn = this.shownLsn(found, durableLsn)
    const places = new Map<Letter, Station>()
    for (const [queue, { messages, hidden }] of found.queues) {
      const stations: [Letter, Station][] = []
      for (const { message } of messages) stations.push(this.place(places, message, queue, false, lsn))
      this.checkOrder(stations)
      const queueOf = this.queues.get(queue) ?? delayQueue
      let before: Letter | null = null
      let beforeMs = 0
      for (const { message, appearsMs } of hidden) {
        const [letter, station] = this.place(places, message, queue, true, lsn)
        this.checkDue(letter, station, appearsMs)
        if (!isFirst(letter, station)) continue
        const isTogether =
          appearsMs === beforeMs && before !== null && rankOf(before, queueOf) === rankOf(letter, queueOf)
        if (isTogether && (before?.arrival ?? 0) > letter.arrival) {
          throw this.violated('I5', `in ${station.key} #${before?.id} is to appear before #${letter.id}`)
        }
        before = letter
        beforeMs = appearsMs
      }
    }
    for (const letter of this.all) {
      if (places.has(letter) || letter.isTransient || this.reach(letter, lsn).mayBeGone) continue
      const what = letter.isConfirmed ? 'and was confirmed' : 'and is durable'
      throw this.violated('I1', `#${letter.id} is nowhere, was last in ${letter.place.key}, ${what}`)
    }
    return places
  }

  /** The last frame that must be there: what was published in it is, and what was done in the same frame goes with it. */
  private shownLsn(found: FoundState, durableLsn: number): number {
    let lsn = durableLsn
    for (const { messages, hidden } of found.queues.values()) {
      for (const { message } of [...messages, ...hidden]) lsn = Math.max(lsn, this.find(message).seen[0]?.seenLsn ?? 0)
    }
    return lsn
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
  adopt(places: ReadonlyMap<Letter, Station>, durableLsn: number): void {
    this.giveUpAsked()
    for (const letter of this.all) letter.adopt(places.get(letter) ?? null, durableLsn, this.latestMs - this.setBackMs)
    this.mark()
  }

  /** The first that is neither consumed nor may be gone; null if there is none. */
  leftOver(): Letter | null {
    this.mark()
    return this.all.find((letter) => !letter.possible(Number.MAX_SAFE_INTEGER, this.latestMs).mayBeGone) ?? null
  }

  violated(invariant: string, text: string): Violation {
    return this.trace.violated(new Violation(invariant, text))
  }

  private find(message: Message): Letter {
    const letter = this.all[idOf(message) - 1]
    if (letter === undefined) throw this.violated('I3', 'there is a letter that nobody sent')
    if (!isUnharmed(message, letter)) throw this.violated('I3', `#${letter.id} has another body`)
    return letter
  }

  /**
   * As `possible`, for whoever wants to be sure: what left a place before the clock was set back may have begun to wait in
   * the next one behind that.
   */
  private reach(letter: Letter, durableLsn: number): Possible {
    return letter.possible(durableLsn, this.latestMs + this.setBackMs)
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
    return letter.expiresMs({ ...station, fromMs: letter.publishedMs + letter.wishes.keptBackMs + letter.delayMs })
  }

  private checkDue(letter: Letter, station: Station, appearsMs: number): void {
    const dueMs = letter.dueMs(station)
    // Elsewhere nobody knows when exactly it came.
    const isLate = isFirst(letter, station) && dueMs + unitMs < appearsMs
    // It may have left the place before when the clock had not been set back, and come to this one behind that.
    const leastMs = isFirst(letter, station) ? dueMs : dueMs - this.setBackMs
    if (appearsMs > leastMs && !isLate) return
    throw this.violated('I16', `#${letter.id} is ${station.key}, due in ${dueMs}, and is to appear in ${appearsMs}`)
  }

  private checkKey(letter: Letter, { queue }: Station): void {
    if (queue.keyed === 0 || letter.key === null) return
    const others = this.all.filter(
      (one) => one.isHeld && one.key === letter.key && one.place.queue === queue && !one.place.mayBePurged,
    )
    if (others.length >= queue.keyed) {
      const held = others.map(({ id }) => `#${id}`).join(' ')
      throw this.violated('I5', `#${letter.id} of key ${letter.key} came while ${held} of that key were unacknowledged`)
    }
  }

  /** Nobody gets it while an earlier one, of its key if the queue has keys, is ready for sure. */
  private checkTurn(letter: Letter, station: Station): void {
    if (station.deaths.length > 0 || (station.queue.keyed > 0 && letter.key === null)) return
    if (letter.isDelayed) return
    for (const other of this.all) {
      if (other.arrival >= letter.arrival || other.isDelayed) continue
      if (!other.hasArrived || other.isHeld || other.isGone || other.place.queue !== station.queue) continue
      if (station.queue.keyed > 0 && other.key !== letter.key) continue
      if (rankOf(other, station.queue) !== rankOf(letter, station.queue)) continue
      if (other.place.deaths.length > 0) continue
      const { stations, mayBeGone } = this.reach(other, Number.MAX_SAFE_INTEGER)
      if (mayBeGone || stations.length > 1 || stations[0] !== other.place) continue
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
      const { isDelayed } = letter
      // Where it waits next it may have been overtaken.
      if (letter.wishes.keptBackMs > 0) continue
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

/** Where it was published: when it came there is known. */
function isFirst({ wishes }: Letter, { deaths, queue }: Station): boolean {
  return deaths.length === 0 && (wishes.keptBackMs === 0 || queue === delayQueue)
}

/** In the order in which they come to be ready. */
function isBefore(left: Letter, right: Letter): boolean {
  const [leftUnit, rightUnit] = [left, right].map(({ publishedMs, delayMs }) =>
    delayMs > 0 ? Math.floor(Math.ceil(publishedMs + delayMs) / unitMs) : 0,
  ) as [number, number]
  return leftUnit === rightUnit ? left.arrival < right.arrival : leftUnit < rightUnit
}
