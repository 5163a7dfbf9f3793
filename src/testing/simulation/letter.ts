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
  readonly rules: LetterRules
}

/** What the arguments of a queue ask for that most queues do without. */
export interface LetterRules {
  /** So many ready messages, and bytes of their bodies. */
  readonly messagesMax: number
  readonly bytesMax: number
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  /** How often a message may come back; infinity: for ever. Null: nobody counts. */
  readonly deliveryLimit: number | null
}

export const plainRules: LetterRules = {
  messagesMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
  overflow: 'drop-head',
  deliveryLimit: null,
}

/** What the exchange that delays keeps is in a queue of its own. */
export const delayExchange = 'later'
export const delayQueue: LetterQueue = {
  name: `amq.delayed.${delayExchange}`,
  ttlMs: Number.POSITIVE_INFINITY,
  keyed: 0,
  maxPriority: 0,
  deadTo: null,
  rules: plainRules,
}

export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'

export interface Death {
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
  /** When there was, or may have been, too much in its queue, and it may have been the first to go; infinity: never. */
  droppedMs: number
  /** When it came, or may have come, back too often; infinity: never. */
  givenUpMs: number
  /** It came back too often, and nobody may get it in this life. */
  mustGo: boolean
  /** It is there since an earlier life. */
  isAdopted: boolean
  /** How often it was handed out, at least and at most. */
  handedOutMin: number
  handedOutMax: number
  /** What was written of that, with the frame. */
  readonly counted: { readonly count: number; readonly lsn: number }[]
}

const never = Number.POSITIVE_INFINITY

function freshMarks(): Omit<Station, 'key' | 'queue' | 'isHidden' | 'deaths' | 'fromMs'> {
  return {
    seenLsn: never,
    rejectedMs: never,
    ackedLsn: never,
    mayBePurged: false,
    droppedMs: never,
    givenUpMs: never,
    mustGo: false,
    isAdopted: false,
    handedOutMin: 0,
    handedOutMax: 0,
    counted: [],
  }
}

export interface Possible {
  readonly stations: readonly Station[]
  readonly mayBeGone: boolean
  readonly mustBeGone: boolean
}

/** What most letters do not ask for. */
export interface LetterWishes {
  readonly delayMs: number
  /** How long an exchange keeps it back; 0: it goes by none that does. */
  readonly keptBackMs: number
  readonly priority: number
  readonly isTransient: boolean
}

export const noWishes: LetterWishes = { delayMs: 0, keptBackMs: 0, priority: 0, isTransient: false }

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
  /** Counted over the whole history. */
  arrival = 0
  /** What its publisher heard of a queue that may refuse it. */
  refusal: 'none' | 'possible' | 'certain' = 'none'
  private target: LetterQueue | null = null
  isConfirmed = false
  /** A recovery has shown that it is not there. */
  isGone = false
  /** Somebody has it and owes an answer. */
  isHeld = false
  wasHandedOut = false
  /** Somebody got it where it was published, or where its last life began. */
  wasGotAtHome = false
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

  /** It was hidden, or may be, so that its place among others is that in which they were due. */
  get isDelayed(): boolean {
    return this.wishes.delayMs > 0 || this.wishes.keptBackMs > 0
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
    this.target = queue
    const isKeptBack = this.wishes.keptBackMs > 0
    const home = this.station(isKeptBack ? delayQueue : queue, [], nowMs, isKeptBack || this.delayMs > 0)
    home.seenLsn = lsn
    this.seen.push(home)
  }

  /** It turned up there. */
  see(station: Station, lsn: number): void {
    if (station.seenLsn < Number.POSITIVE_INFINITY) return
    station.seenLsn = lsn
    this.seen.push(station)
  }

  /**
   * A recovery found it there, or nowhere: all that was before no longer matters. `sinceMs`: the earliest the wall clock may show.
   */
  adopt(station: Station | null, durableLsn: number, sinceMs: number): void {
    this.isHeld = false
    this.refusal = 'none'
    this.isGone = station === null
    this.stations.clear()
    this.seen = []
    if (station === null) return
    const written = station.counted.filter(({ lsn }) => lsn <= durableLsn).map(({ count }) => count)
    const handedOutMin = Math.max(0, ...written)
    // Of what may have been handed out when the end came the broker takes for granted that it was, once.
    const handedOutMax = Math.max(1, station.handedOutMax)
    const counted = [{ count: handedOutMin, lsn: 0 }]
    const found = { ...station, ...freshMarks(), seenLsn: 0, isAdopted: true, handedOutMin, handedOutMax, counted }
    const { deliveryLimit } = station.queue.rules
    // What ended lives too often is given up where it would be handed out next.
    if (deliveryLimit !== null && handedOutMax > deliveryLimit) found.givenUpMs = sinceMs
    if (deliveryLimit !== null && handedOutMin > deliveryLimit) found.mustGo = true
    this.stations.set(found.key, found)
    this.seen.push(found)
  }

  /** When it is due, at the earliest, if it is hidden at that station. */
  dueMs(station: Station): number {
    return Math.ceil(station.fromMs + this.hiddenMs(station))
  }

  private hiddenMs({ queue }: Station): number {
    return queue === delayQueue ? this.wishes.keptBackMs : this.delayMs
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
    const start = durable.at(-1) ?? (this.seen[0] as Station)
    const waiting = [start]
    const isRefused = this.refusal === 'certain' && start === this.seen[0]
    for (let station = waiting.pop(); station !== undefined; station = waiting.pop()) {
      if (stations.includes(station)) continue
      if (!isRefused || station !== start) stations.push(station)
      if (station.ackedLsn < Number.POSITIVE_INFINITY || station.mayBePurged) mayBeGone = true
      if (station.ackedLsn <= durableLsn) mustBeGone = true
      const expiresMs = this.expiresMs(station)
      const moves: Station[] = []
      const { queue, deaths, fromMs } = station
      if (station.isHidden && this.dueMs(station) <= nowMs) {
        const appearsMs = fromMs + this.hiddenMs(station)
        const isReleased = queue === delayQueue
        const to = isReleased ? (this.target as LetterQueue) : queue
        const next = this.station(to, deaths, appearsMs, isReleased && this.delayMs > 0)
        // What was due when a life ended may have been handed out, for all the next one knows.
        if (!isReleased) next.handedOutMax = Math.max(next.handedOutMax, station.handedOutMax)
        moves.push(next)
        if (isReleased && to.rules.overflow !== 'drop-head') {
          mayBeGone = true
          moves.push(...this.refused(next))
        }
      }
      if (this.refusal !== 'none' && station === this.seen[0]) {
        const elsewhere = this.refused(station)
        moves.push(...elsewhere)
        // The next queue may be full as well.
        if (elsewhere.every(({ queue: { rules } }) => rules.overflow !== 'drop-head')) mayBeGone = true
        if (elsewhere.length === 0 && isRefused) mustBeGone = true
      }
      for (const [reason, atMs] of [
        ['rejected', station.rejectedMs],
        ['expired', expiresMs - roundingMs],
        ['maxlen', station.droppedMs],
        ['delivery_limit', station.givenUpMs],
      ] as const) {
        if (atMs > nowMs) continue
        const next = this.next(station, reason, atMs)
        // What a full queue refuses is gone, and nobody hears of it.
        if (next === null || next.queue.rules.overflow !== 'drop-head') mayBeGone = true
        if (next !== null) moves.push(next)
      }
      waiting.push(...moves)
    }
    return { stations, mayBeGone, mustBeGone }
  }

  /** Where it goes instead of a queue that refuses it. */
  private refused(from: Station): Station[] {
    if (from.queue.rules.overflow !== 'reject-publish-dlx') return []
    const next = this.next(from, 'maxlen', from.fromMs)
    return next === null ? [] : [next]
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
    const station = { key, queue, isHidden, deaths, fromMs, ...freshMarks() }
    this.stations.set(key, station)
    return station
  }
}

export function stationKey(queue: string, deaths: readonly Death[], isHidden: boolean): string {
  const place = isHidden ? `hidden in ${queue}` : queue
  return [place, ...deaths.map((death) => `${death.count}x ${death.reason} in ${death.queue}`)].join(', ')
}

/** What a priority counts for in that queue. */
export function rankOf({ wishes }: Letter, { maxPriority }: LetterQueue): number {
  return Math.min(wishes.priority, maxPriority)
}
