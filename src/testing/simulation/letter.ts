/**
 * A message on its way through queues that get rid of it: it expires in one, is rejected in another, and goes where their
 * dead-letter exchange leads. What may have become of it is computed from what is known, by rules written for this alone:
 * nothing here is shared with the broker.
 *
 *     station   one queue and the deaths that led there, and whether it is hidden: a letter is at one station, or gone,
 *               never at two
 *     known     the stations where it was seen, in order; before the last one that is durable it can no longer be
 *     possible  what follows from there by rejections that were asked for, by expiries whose time has come, and by being
 *               due
 */

export interface LetterQueue {
  readonly name: string
  /** Infinity: messages do not expire by themselves. */
  readonly ttlMs: number
  /** So many of one key may be with consumers; 0: keys do not count. */
  readonly keyed: number
  /** Those of a higher priority count as of this one. */
  readonly maxPriority: number
  /** The queue that gets what this one gets rid of; null: nobody does. */
  readonly deadTo: string | null
}

export type DeathReason = 'rejected' | 'expired'

interface Death {
  readonly queue: string
  readonly reason: DeathReason
  readonly count: number
}

export interface Station {
  readonly key: string
  readonly queue: LetterQueue
  /** It is there, and nobody can get it before it is due. */
  readonly isHidden: boolean
  /** The latest first; one per queue and reason. */
  readonly deaths: readonly Death[]
  /** It cannot have come before, by the wall clock. */
  readonly fromMs: number
  /** It was here in that frame at the latest; infinity: it was never seen here. */
  seenLsn: number
  /** When a consumer rejected it; infinity: none did. */
  rejectedMs: number
  /** The frame with its acknowledgement, or with the end of all that was there; infinity: there is none. */
  ackedLsn: number
  /** Its queue was emptied when it may have been there. */
  mayBePurged: boolean
}

export interface Possible {
  readonly stations: readonly Station[]
  readonly mayBeGone: boolean
  readonly mustBeGone: boolean
}

/** What most letters do not ask for. */
export interface LetterWishes {
  readonly delayMs: number
  readonly priority: number
  readonly isTransient: boolean
}

export const noWishes: LetterWishes = { delayMs: 0, priority: 0, isTransient: false }

/** A timestamp in the log has no fraction. */
const roundingMs = 1

export class Letter {
  readonly id: number
  /** Null: it has none. */
  readonly key: string | null
  readonly expirationMs: number
  readonly bodyBytes: number
  readonly wishes: LetterWishes
  publishedMs = 0
  isConfirmed = false
  /** A recovery has shown that it is not there. */
  isGone = false
  /** Somebody has it and owes an answer. */
  isHeld = false
  wasHandedOut = false
  /** Where it was seen, in order; the first is where it was published. */
  seen: Station[] = []
  private readonly queues: ReadonlyMap<string, LetterQueue>
  private readonly stations = new Map<string, Station>()

  constructor(
    queues: ReadonlyMap<string, LetterQueue>,
    id: number,
    key: string | null,
    expirationMs: number,
    bodyBytes: number,
    wishes: LetterWishes = noWishes,
  ) {
    this.wishes = wishes
    this.queues = queues
    this.id = id
    this.key = key
    this.expirationMs = expirationMs
    this.bodyBytes = bodyBytes
  }

  /** How long it is hidden in each queue it comes to: the header that says so goes with it. */
  get delayMs(): number {
    return this.wishes.delayMs
  }

  /** It need not be there after a restart, and must not. */
  get isTransient(): boolean {
    return this.wishes.isTransient
  }

  get hasArrived(): boolean {
    return this.seen.length > 0
  }

  /** Where it was seen last. */
  get place(): Station {
    return this.seen.at(-1) as Station
  }

  publish(queue: LetterQueue, lsn: number, nowMs: number): void {
    this.publishedMs = nowMs
    const home = this.station(queue, [], nowMs, this.delayMs > 0)
    home.seenLsn = lsn
    this.seen.push(home)
  }

  /** It turned up there. */
  see(station: Station, lsn: number): void {
    if (station.seenLsn < Number.POSITIVE_INFINITY) return
    station.seenLsn = lsn
    this.seen.push(station)
  }

  /** A recovery found it there, or nowhere: all that was before no longer matters. */
  adopt(station: Station | null): void {
    this.isHeld = false
    this.isGone = station === null
    this.stations.clear()
    this.seen = []
    if (station === null) return
    const never = Number.POSITIVE_INFINITY
    const found = { ...station, seenLsn: 0, rejectedMs: never, ackedLsn: never, mayBePurged: false }
    this.stations.set(found.key, found)
    this.seen.push(found)
  }

  /** When it is due, at the earliest, if it is hidden at that station. */
  dueMs({ fromMs }: Station): number {
    return Math.ceil(fromMs + this.delayMs)
  }

  /** When it expires at that station, at the earliest. */
  expiresMs({ queue, deaths, fromMs, isHidden }: Station): number {
    if (isHidden) return Number.POSITIVE_INFINITY
    return fromMs + Math.min(queue.ttlMs, deaths.length === 0 ? this.expirationMs : Number.POSITIVE_INFINITY)
  }

  /** What may have become of it if everything up to that frame is durable; `nowMs` is the latest the wall clock has shown. */
  possible(durableLsn: number, nowMs: number): Possible {
    if (this.isGone || !this.hasArrived) return { stations: [], mayBeGone: true, mustBeGone: true }
    const durable = this.seen.filter(({ seenLsn }) => seenLsn <= durableLsn)
    const stations: Station[] = []
    let mayBeGone = durable.length === 0
    let mustBeGone = false
    const waiting = [durable.at(-1) ?? (this.seen[0] as Station)]
    for (let station = waiting.pop(); station !== undefined; station = waiting.pop()) {
      if (stations.includes(station)) continue
      stations.push(station)
      if (station.ackedLsn < Number.POSITIVE_INFINITY || station.mayBePurged) mayBeGone = true
      if (station.ackedLsn <= durableLsn) mustBeGone = true
      const expiresMs = this.expiresMs(station)
      const moves: Station[] = []
      const { queue, deaths, fromMs } = station
      if (station.isHidden && this.dueMs(station) <= nowMs) {
        moves.push(this.station(queue, deaths, fromMs + this.delayMs, false))
      }
      for (const [reason, atMs] of [
        ['rejected', station.rejectedMs],
        ['expired', expiresMs - roundingMs],
      ] as const) {
        if (atMs > nowMs) continue
        const next = this.next(station, reason, atMs)
        if (next === null) mayBeGone = true
        else moves.push(next)
      }
      waiting.push(...moves)
    }
    return { stations, mayBeGone, mustBeGone }
  }

  /** Where it goes from there; null: nowhere. */
  private next(from: Station, reason: DeathReason, atMs: number): Station | null {
    const queue = this.queues.get(from.queue.deadTo ?? '')
    if (queue === undefined) return null
    const known = from.deaths.find((death) => death.queue === from.queue.name && death.reason === reason)
    const death = { queue: from.queue.name, reason, count: (known?.count ?? 0) + 1 }
    const deaths = [death, ...from.deaths.filter((other) => other !== known)]
    // What only ever expired does not come to the same queue twice.
    const rejection = deaths.findIndex((one) => one.reason === 'rejected')
    const since = rejection < 0 ? deaths : deaths.slice(0, rejection)
    if (since.some((one) => one.queue === queue.name)) return null
    return this.station(queue, deaths, atMs, false)
  }

  private station(queue: LetterQueue, deaths: readonly Death[], fromMs: number, isHidden: boolean): Station {
    const key = stationKey(queue.name, deaths, isHidden)
    const known = this.stations.get(key)
    if (known !== undefined) return known
    const never = Number.POSITIVE_INFINITY
    const unseen = { seenLsn: never, rejectedMs: never, ackedLsn: never, mayBePurged: false }
    const station = { key, queue, isHidden, deaths, fromMs, ...unseen }
    this.stations.set(key, station)
    return station
  }
}

export function stationKey(queue: string, deaths: readonly Death[], isHidden: boolean): string {
  const place = isHidden ? `hidden in ${queue}` : queue
  return [place, ...deaths.map((death) => `${death.count}x ${death.reason} in ${death.queue}`)].join(', ')
}
