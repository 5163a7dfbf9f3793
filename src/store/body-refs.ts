/**
 * Which messages have their body in a file, as the log says up to some record of it: it is told of each publish, settlement,
 * purge and deletion when that is appended, and by recovery when that is read. A body of which no message is left may go once
 * all that is durable. One entry for each such message: they are few, for each takes a MiB or more of the disk.
 */

/** A body, and how many messages refer to it. */
interface Body {
  readonly id: number
  count: number
  /** The frame in which the log was told last that a message is gone; 0: the log knows of none. */
  lsn: number
}

interface Reference {
  readonly body: Body
  /** Whether the log says that the message is in its queue. */
  readonly logged: boolean
}

/** One that survives a restart. */
export interface BodyReference {
  readonly queueId: number
  readonly sequence: number
  readonly bodyId: number
}

export class BodyRefs {
  /** The highest id there was, plus one. */
  nextId = 1
  private readonly bodies = new Map<number, Body>()
  private readonly queues = new Map<number, Map<number, Reference>>()
  private readonly openLsn: () => number
  private readonly unreferenced: (id: number, lsn: number) => void

  /** `unreferenced` hears of each body that may go when that frame is durable. */
  constructor(openLsn: () => number, unreferenced: (id: number, lsn: number) => void) {
    this.openLsn = openLsn
    this.unreferenced = unreferenced
  }

  /** For those who read only: nothing goes. */
  static reading(): BodyRefs {
    return new BodyRefs(
      () => 0,
      () => {},
    )
  }

  get isEmpty(): boolean {
    return this.queues.size === 0
  }

  has(bodyId: number): boolean {
    return this.bodies.has(bodyId)
  }

  add(queueId: number, sequence: number, bodyId: number, logged: boolean): void {
    this.nextId = Math.max(this.nextId, bodyId + 1)
    let queue = this.queues.get(queueId)
    if (queue === undefined) {
      queue = new Map()
      this.queues.set(queueId, queue)
    }
    if (queue.has(sequence)) return
    let body = this.bodies.get(bodyId)
    if (body === undefined) {
      body = { id: bodyId, count: 0, lsn: 0 }
      this.bodies.set(bodyId, body)
    }
    body.count++
    queue.set(sequence, { body, logged })
  }

  /** One that the log does not know of is gone. */
  gone(queueId: number, sequence: number): void {
    const queue = this.queues.get(queueId)
    if (queue !== undefined) this.remove(queueId, queue, sequence)
  }

  /** Ranges as start, end, start, end … */
  settled(queueId: number, ranges: readonly number[]): void {
    const queue = this.queues.get(queueId)
    if (queue === undefined) return
    for (let at = 0; at < ranges.length; at += 2) {
      const start = ranges[at] as number
      const end = ranges[at + 1] as number
      if (end - start < queue.size) {
        for (let sequence = start; sequence <= end; sequence++) this.remove(queueId, queue, sequence)
      } else this.removeWhere(queueId, queue, (sequence) => sequence >= start && sequence <= end)
    }
  }

  /** All below `nextSequence` are gone, but for those that consumers hold. */
  purged(queueId: number, nextSequence: number, isHeld: (sequence: number) => boolean): void {
    const queue = this.queues.get(queueId)
    if (queue !== undefined) {
      this.removeWhere(queueId, queue, (sequence) => sequence < nextSequence && !isHeld(sequence))
    }
  }

  /** The queue was deleted. The log does not know of what consumers still hold; `gone` tells when they do not any more. */
  dropped(queueId: number, isHeld: (sequence: number) => boolean = () => false): void {
    const queue = this.queues.get(queueId)
    if (queue === undefined) return
    for (const [sequence, { body, logged }] of queue) {
      if (!isHeld(sequence)) this.remove(queueId, queue, sequence)
      else if (logged) {
        body.lsn = this.openLsn()
        queue.set(sequence, { body, logged: false })
      }
    }
  }

  /** Those that survive a restart. */
  logged(): BodyReference[] {
    const all: BodyReference[] = []
    for (const [queueId, queue] of this.queues) {
      for (const [sequence, { body, logged }] of queue) if (logged) all.push({ queueId, sequence, bodyId: body.id })
    }
    return all
  }

  private removeWhere(queueId: number, queue: Map<number, Reference>, isGone: (sequence: number) => boolean): void {
    for (const sequence of queue.keys()) if (isGone(sequence)) this.remove(queueId, queue, sequence)
  }

  private remove(queueId: number, queue: Map<number, Reference>, sequence: number): void {
    const reference = queue.get(sequence)
    if (reference === undefined) return
    queue.delete(sequence)
    if (queue.size === 0) this.queues.delete(queueId)
    const { body, logged } = reference
    if (logged) body.lsn = this.openLsn()
    if (--body.count > 0) return
    this.bodies.delete(body.id)
    this.unreferenced(body.id, body.lsn)
  }
}
