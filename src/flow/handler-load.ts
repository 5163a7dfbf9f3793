/**
 * What handlers do at one limit: how many messages they are done with in a time, and how sure that is.
 *
 * The throughput comes from Little's law, L = λW (J. D. C. Little, 1961), as λ = L / W: the handlers that ran on average, by the
 * time in handlers that one message took. Counting what ends between two moments would say the same in the long run; but
 * handlers that began together end together, and then a count depends on where its window begins.
 *
 * The error is estimated by batch means (A. M. Law and W. D. Kelton, Simulation Modeling and Analysis, 1982): what ends is cut
 * into blocks, and how much these differ tells how far their mean can be trusted. Neighbours in a queue wait for the same
 * things, so their times are no independent samples; blocks of them nearly are.
 */
import { assert } from '../lib/assert.ts'

/** How many times what is assumed of them weighs as much as: a few that happen to agree are still few. */
const priorWeight = 16
/** The weight of the latest time in what is remembered of all. */
const memory = 1 / 1_000
/** 1 is that of exponential times. */
const varianceMin = 1
const varianceMax = 50
/** Where more of the time there was room without a message for it, handlers were not what held the messages up. */
const lackingShareMax = 0.1

/** How much single times differ from each other, over all limits that were tried. */
export class TimeSpread {
  private count = 0
  private meanMs = 0
  private meanSquare = 0

  add(tookMs: number): void {
    this.count++
    const weight = Math.max(1 / this.count, memory)
    this.meanMs += (tookMs - this.meanMs) * weight
    this.meanSquare += (tookMs * tookMs - this.meanSquare) * weight
  }

  /** Relative to the squared mean. Rare ones that take long are remembered, although a trial may meet none. */
  get variance(): number {
    const { meanMs, meanSquare } = this
    return meanMs === 0 ? 1 : Math.min(varianceMax, Math.max(varianceMin, meanSquare / meanMs ** 2 - 1))
  }
}

export class HandlerLoad {
  readonly limit: number
  /** Time that was measured. */
  elapsedMs = 0
  /** Handlers that ended in it. */
  ended = 0
  private done = 0
  private handlerMs = 0
  /** The integral of the handlers that ran, over time. */
  private areaMs = 0
  private lackingMs = 0
  private readonly blockSize: number
  private readonly spread: TimeSpread
  private blockEnded = 0
  private blockDone = 0
  private blockMs = 0
  private blocks = 0
  private blockMean = 0
  /** The sum of squared differences from that mean (B. P. Welford, 1962). */
  private blockSquares = 0
  private skip: number
  private nowMs: number
  private running: number
  private lacks = false

  /** Of the handlers that end next, `skip` are not counted: they have to do with the limit before. */
  constructor(limit: number, skip: number, spread: TimeSpread, nowMs: number, running: number) {
    assert(limit >= 1, 'a limit is a number of handlers')
    this.limit = limit
    this.blockSize = Math.max(2, Math.ceil(limit / 2))
    this.skip = skip
    this.spread = spread
    this.nowMs = nowMs
    this.running = running
  }

  /** From now on so many handlers run; `lacks`: there is room for more, and nothing to fill it with. */
  pass(nowMs: number, running: number, lacks: boolean): void {
    if (this.skip === 0 && nowMs > this.nowMs) {
      const passedMs = nowMs - this.nowMs
      this.elapsedMs += passedMs
      this.areaMs += passedMs * this.running
      if (this.lacks) this.lackingMs += passedMs
    }
    this.nowMs = nowMs
    this.running = running
    this.lacks = lacks
  }

  /** A handler has ended that took so long; done: it neither failed nor wants another attempt. True: a block is complete. */
  end(tookMs: number, isDone: boolean): boolean {
    if (this.skip > 0) {
      this.skip--
      return false
    }
    this.ended++
    this.blockEnded++
    this.handlerMs += tookMs
    this.blockMs += tookMs
    if (isDone) {
      this.done++
      this.blockDone++
    }
    if (this.blockEnded < this.blockSize) return false
    this.completeBlock()
    return true
  }

  /** Goes on after another limit was tried. */
  resume(skip: number, nowMs: number, running: number): void {
    this.skip = skip
    this.nowMs = nowMs
    this.running = running
    this.lacks = false
  }

  /** Whether this was no full load: then nothing here says what more or fewer handlers would do. */
  get isLacking(): boolean {
    return this.lackingMs > this.elapsedMs * lackingShareMax
  }

  /** Handler time for each message that is done, in ms; failed attempts are paid for by those that succeed. */
  get timePerDoneMs(): number {
    return timePerDone(this.handlerMs, this.done)
  }

  /** Messages done in a millisecond. */
  get throughput(): number {
    const { timePerDoneMs, elapsedMs } = this
    return timePerDoneMs === 0 || elapsedMs === 0 ? 0 : this.areaMs / elapsedMs / timePerDoneMs
  }

  /** The standard error of the logarithm of the throughput, hence about the relative one of the throughput. */
  get error(): number {
    const { blocks, blockMean, blockSize } = this
    if (blocks < 2 || blockMean === 0) return 1
    const times = blocks * blockSize
    const ofBlocks = (this.blockSquares / (blocks - 1) / blockMean ** 2) * blockSize
    const variance = (priorWeight * this.spread.variance + times * ofBlocks) / (priorWeight + times)
    return Math.sqrt(variance / times)
  }

  /** Takes in what was measured later, at the same limit. */
  merge(later: HandlerLoad): void {
    assert(later.limit === this.limit, 'loads at one limit are one')
    const blocks = this.blocks + later.blocks
    if (blocks === 0) return
    const apart = later.blockMean - this.blockMean
    this.blockSquares += later.blockSquares + (apart ** 2 * this.blocks * later.blocks) / blocks
    this.blockMean += (apart * later.blocks) / blocks
    this.blocks = blocks
    this.elapsedMs += later.elapsedMs
    this.ended += later.ended
    this.done += later.done
    this.handlerMs += later.handlerMs
    this.areaMs += later.areaMs
    this.lackingMs += later.lackingMs
  }

  private completeBlock(): void {
    const value = timePerDone(this.blockMs, this.blockDone)
    this.blocks++
    const apart = value - this.blockMean
    this.blockMean += apart / this.blocks
    this.blockSquares += apart * (value - this.blockMean)
    this.blockEnded = 0
    this.blockDone = 0
    this.blockMs = 0
  }
}

/** Where nothing was done, half a message is: the time is long, and finite. */
function timePerDone(handlerMs: number, done: number): number {
  return handlerMs / Math.max(done, 0.5)
}
