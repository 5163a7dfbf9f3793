/**
 * Queue and callbacks: photos are sent with a load that changes, workers resize them, and the sender is told of each what
 * became of it. Some attempts fail and are tried again; a few photos cannot be read at all and become dead letters.
 */
import { setLivingTimer } from '../../client/keep-alive.ts'
import type { Bus, HandlerContext, LeveretError, Queue, Worker } from '../../index.ts'
import type { PhotoEvents } from './events.ts'
import { isCorrupt, isUnlucky, phaseAt, workerCount, workMsMax, workMsMin } from './load.ts'
import type { CallbackFigures, DemoPlatform, Followed, QueueFigures } from './state.ts'

interface Photo {
  readonly file: string
  readonly number: number
  /** Of this run: what an earlier one left in a folder has another. */
  readonly run: string
}

interface Resized {
  readonly bytes: number
}

const sendEveryMs = 20
/** How long the end of one message stays to be read before the next one is followed. */
const readMs = 900
export const photoQueue = 'demo.photos'

export class Photos {
  /** What began, and how long that had waited, in ms. */
  begun = 0
  waitedMs = 0
  sent = 0
  private readonly platform: DemoPlatform
  private readonly queue: Queue<Photo, Resized>
  private readonly worker: Worker
  private readonly events: PhotoEvents
  private readonly run: string
  private readonly found: number
  /** When those were sent whose end is not known, by their number. */
  private readonly sentMs: Map<number, number> = new Map()
  private processed = 0
  private deadLettered = 0
  private totalMs = 0
  private followed: Followed | null = null
  private followedMs = 0
  private startedMs = 0
  private dueCount = 0
  private cancelTimer: () => void = () => {}

  static async open(platform: DemoPlatform, bus: Bus, events: PhotoEvents): Promise<Photos> {
    const retry = { attempts: 3, min: '300ms', max: '1s' } as const
    const queue = await bus.createQueue<Photo, Resized>(photoQueue, { retry })
    const { ready, delayed } = await queue.stats()
    return new Photos(platform, queue, events, ready + delayed)
  }

  private constructor(platform: DemoPlatform, queue: Queue<Photo, Resized>, events: PhotoEvents, found: number) {
    this.platform = platform
    this.queue = queue
    this.events = events
    this.found = found
    this.run = Math.floor(platform.random.next() * 2 ** 32).toString(36)
    this.worker = queue.process((message, context) => this.resize(message.data, context), {
      concurrency: workerCount,
      // That attempts fail is a part of the show.
      onError: () => {},
    })
  }

  /** Sends as the load says, from now on. */
  start(durationMs: number): void {
    const { clock } = this.platform
    this.startedMs = clock.monotonicMs()
    let lastMs = this.startedMs
    const send = (): void => {
      const nowMs = clock.monotonicMs()
      this.dueCount += (phaseAt(nowMs - this.startedMs, durationMs).perSecond * (nowMs - lastMs)) / 1000
      lastMs = nowMs
      for (; this.dueCount >= 1; this.dueCount--) this.send(++this.sent)
      this.cancelTimer = setLivingTimer(clock, sendEveryMs, send)
    }
    send()
  }

  /** Sends nothing more. */
  stop(): void {
    this.cancelTimer()
  }

  /** Whether all that was sent has come to its end. */
  get isDone(): boolean {
    return this.processed + this.deadLettered >= this.sent
  }

  /** Handlers that ended well, what an earlier run had left among them. */
  get settled(): number {
    const { processed, deadLettered } = this.worker.stats()
    return processed + deadLettered
  }

  figures(): QueueFigures {
    const { sent, found } = this
    const { processed, retried, deadLettered } = this.worker.stats()
    return { name: photoQueue, found, sent, processed, retried, deadLettered }
  }

  callbackFigures(): CallbackFigures {
    const { processed, deadLettered, totalMs, followed } = this
    return { processed, deadLettered, totalMs, followed }
  }

  private send(number: number): void {
    const photo: Photo = { file: `photo-${String(number).padStart(4, '0')}.png`, number, run: this.run }
    const sentMs = this.nowMs()
    this.sentMs.set(number, sentMs)
    const onProcessed = (error: LeveretError | null, result: Resized | undefined): void => {
      this.told(photo, error, result)
    }
    // A bus that is closed meanwhile refuses what is under way; nobody is left to be told.
    if (!this.takesNext(number)) return void this.queue.send(photo, { onProcessed }).catch(() => {})
    this.followed = { name: photo.file, storedMs: null, deliveredMs: null, progress: 0, endedMs: null, end: null }
    this.followedMs = sentMs
    const follow = (change: (ms: number) => Partial<Followed>): void => {
      const { followed } = this
      if (followed?.name === photo.file) this.followed = { ...followed, ...change(this.nowMs() - sentMs) }
    }
    const receipt = this.queue.send(photo, {
      onDelivered: () => follow((ms) => ({ deliveredMs: ms })),
      onProgress: (share) => follow(() => ({ progress: share })),
      onProcessed,
    })
    receipt.then(
      () => follow((ms) => ({ storedMs: ms })),
      () => {},
    )
  }

  /** One at a time, long enough to be read; one that will be a dead letter is worth more than others. */
  private takesNext(number: number): boolean {
    const { followed } = this
    if (followed === null) return true
    if (followed.end === null || followed.endedMs === null) return false
    return isCorrupt(number) || this.nowMs() - this.followedMs - followed.endedMs > readMs
  }

  private async resize({ file, number, run }: Photo, context: HandlerContext): Promise<Resized> {
    const { random } = this.platform
    const sentMs = run === this.run ? this.sentMs.get(number) : undefined
    if (context.attempt === 1 && sentMs !== undefined) {
      this.begun++
      this.waitedMs += this.nowMs() - sentMs
    }
    const workMs = workMsMin + random.next() * (workMsMax - workMsMin)
    await this.wait(workMs / 2)
    context.progress(0.5)
    await this.wait(workMs / 2)
    if (isCorrupt(number)) throw new Error(`${file} is corrupt`)
    if (isUnlucky(number) && context.attempt === 1) throw new Error('the disk is busy')
    this.events.resized(context, file)
    return { bytes: 10_000 + Math.floor(random.next() * 90_000) }
  }

  private told({ file, number }: Photo, error: LeveretError | null, result: Resized | undefined): void {
    const sentMs = this.sentMs.get(number) as number
    const ms = this.nowMs() - sentMs
    this.sentMs.delete(number)
    this.totalMs += ms
    if (error === null) this.processed++
    else {
      this.deadLettered++
      this.events.failed(file)
    }
    if (this.followed?.name !== file) return
    const text = error === null ? `${Math.round((result?.bytes ?? 0) / 1000)} kB` : `${file} is corrupt, in 3 attempts`
    this.followed = { ...this.followed, endedMs: ms, end: { isGood: error === null, text } }
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      setLivingTimer(this.platform.clock, ms, resolve)
    })
  }

  private nowMs(): number {
    return this.platform.clock.monotonicMs()
  }
}
