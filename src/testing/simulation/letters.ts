/**
 * All letters of a history, and what must hold of them: each that is stored is at exactly one station or gone for a reason,
 * none expires before its time, and those of one key, or of a queue without keys, leave in the order they came in.
 */
import { crc32 } from '../../lib/crc32.ts'
import type { Field, FieldTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import type { FoundState } from './found-state.ts'
import { type DeathReason, Letter, type LetterQueue, type Station, stationKey } from './letter.ts'
import { type Trace, Violation } from './trace.ts'

/** Expiry is looked at once in a turn, and a timestamp has no fraction. */
const lateMs = 2

export class Letters {
  readonly all: Letter[] = []
  readonly queues: ReadonlyMap<string, LetterQueue>
  /** The latest the wall clock has shown: what had expired then may be gone, though the clock was set back since. */
  latestMs = 0
  private readonly trace: Trace
  /** Queues with a basic.get under way: what it took is not known before it answers. */
  private readonly asked = new Map<string, number>()

  constructor(queues: readonly LetterQueue[], trace: Trace) {
    this.queues = new Map(queues.map((queue) => [queue.name, queue]))
    this.trace = trace
  }

  make(queue: string, key: string | null, expirationMs: number, bodyBytes: number): Message {
    const letter = new Letter(this.queues, this.all.length + 1, key, expirationMs, bodyBytes)
    this.all.push(letter)
    const properties: Properties = { messageId: `letter-${letter.id}`, deliveryMode: 2 }
    if (key !== null) properties.headers = new Map([['x-leveret-key', { tag: 'S', value: key } satisfies Field]])
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

  /** A consumer or a basic.get got it: may it, and is it its turn? `sinceMs`: when it can have been taken at the earliest. */
  handedOut(message: Message, queue: string, lsn: number, nowMs: number, sinceMs: number, isAnswer: boolean): Letter {
    this.latestMs = Math.max(this.latestMs, nowMs)
    const letter = this.find(message)
    const station = this.stationOf(letter, message, queue, Number.MAX_SAFE_INTEGER)
    if (letter.isHeld) throw this.violated('I11', `#${letter.id} is with two consumers at a time`)
    if (station.ackedLsn < Number.POSITIVE_INFINITY) {
      throw this.violated('I2', `#${letter.id} came from ${queue} after it was acknowledged`)
    }
    letter.see(station, lsn)
    // Elsewhere nobody knows when exactly it came.
    if (station.deaths.length === 0 && this.deadlineOf(letter, station) + lateMs < sinceMs) {
      throw this.violated('I16', `#${letter.id} came from ${queue} after its time was over`)
    }
    this.checkKey(letter, station)
    if (!isAnswer && (this.asked.get(queue) ?? 0) === 0) this.checkTurn(letter, station)
    letter.isHeld = true
    letter.wasHandedOut = true
    return letter
  }

  acked(letter: Letter, lsn: number): void {
    letter.isHeld = false
    letter.place.ackedLsn = lsn
  }

  rejected(letter: Letter, nowMs: number): void {
    letter.isHeld = false
    letter.place.rejectedMs = nowMs
  }

  requeued(letter: Letter): void {
    letter.isHeld = false
  }

  /** Is on the disk what must be? Returns where each was found. */
  check(found: FoundState, durableLsn: number): ReadonlyMap<Letter, Station> {
    if (found.failure !== null) throw this.violated('I13', found.failure.message)
    const places = new Map<Letter, Station>()
    for (const [queue, { messages }] of found.queues) {
      const stations: [Letter, Station][] = []
      for (const { message } of messages) {
        const letter = this.find(message)
        const other = places.get(letter)
        if (other !== undefined) {
          throw this.violated('I8', `#${letter.id} is twice there: in ${other.key}; and in ${queue}`)
        }
        const station = this.stationOf(letter, message, queue, durableLsn)
        if (letter.possible(durableLsn, this.latestMs).mustBeGone) {
          throw this.violated('I2', `#${letter.id} is in ${queue} and must not be`)
        }
        places.set(letter, station)
        stations.push([letter, station])
      }
      this.checkOrder(stations)
    }
    for (const letter of this.all) {
      if (places.has(letter) || letter.possible(durableLsn, this.latestMs).mayBeGone) continue
      const what = letter.isConfirmed ? 'and was confirmed' : 'and is durable'
      throw this.violated('I1', `#${letter.id} is nowhere, was last in ${letter.place.key}, ${what}`)
    }
    return places
  }

  /** A broker begins with that. */
  adopt(places: ReadonlyMap<Letter, Station>): void {
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
  private stationOf(letter: Letter, message: Message, queue: string, durableLsn: number): Station {
    const key = stationKey(queue, deathsOf(message))
    const { stations } = letter.possible(durableLsn, this.latestMs)
    const station = stations.find((one) => one.key === key)
    if (station !== undefined) return station
    const others = stations.map((one) => one.key).join('; or in ')
    const isEarly = letter.possible(durableLsn, Number.MAX_SAFE_INTEGER).stations.some((one) => one.key === key)
    if (isEarly) throw this.violated('I16', `#${letter.id} is in ${key} before its time came; it may be in ${others}`)
    throw this.violated('I8', `#${letter.id} is in ${key}; it may be ${others === '' ? 'nowhere' : `in ${others}`}`)
  }

  private deadlineOf(letter: Letter, station: Station): number {
    return letter.expiresMs({ ...station, fromMs: letter.publishedMs })
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
    for (const other of this.all) {
      if (other === letter) return
      if (!other.hasArrived || other.isHeld || other.isGone || other.place.queue !== station.queue) continue
      if (station.queue.keyed > 0 && other.key !== letter.key) continue
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
      const group = `${station.key} ${isKeyed ? letter.key : ''}`
      const before = last.get(group)
      if (before !== undefined && before.id > letter.id) {
        throw this.violated('I5', `in ${station.key} #${before.id} stands before #${letter.id}`)
      }
      last.set(group, letter)
    }
  }
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
