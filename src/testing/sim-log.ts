/**
 * A simulated machine with one log on it, and a journal of what the log promised:
 *
 * - what was durable, and what a recovery has shown, is there after every later recovery;
 * - what is there is a prefix of what was appended, cut between two frames;
 * - an LSN never names two different frames, and LSNs only rise.
 *
 * `open` checks all of that whenever the log is opened, so a test only has to make trouble.
 */
import { assert } from '../lib/assert.ts'
import { recordOffset } from '../log/frame.ts'
import type { LogError } from '../log/log-error.ts'
import { type LogOptions, logOptionsDefault } from '../log/log-options.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import type { Network } from '../platform/network.ts'
import type { Platform } from '../platform/platform.ts'
import { SimClock } from './sim-clock.ts'
import { SimCrypto } from './sim-crypto.ts'
import { SimDisk, type SimDiskOptions } from './sim-disk.ts'
import { type SimHost, SimMachine } from './sim-host.ts'
import { SimRandom } from './sim-random.ts'

export const simLogDirectory = '/data'

export interface SimLogRecord {
  readonly text: string
  readonly lsn: number
  readonly segmentId: number
  readonly offset: number
}

export class SimLog {
  readonly clock: SimClock = new SimClock()
  readonly disk: SimDisk
  readonly random: SimRandom
  readonly machine: SimMachine = new SimMachine()
  host: SimHost
  log: SegmentedLog | null = null
  /** What the last opening gave to the sink. */
  records: SimLogRecord[] = []
  frames: number[] = []
  /** 'durable 3', 'written 3', 'stalled ENOSPC', 'resumed', 'failed E_STORAGE_FAILED', in order. */
  events: string[] = []
  /** Commits again whenever a batch has landed, as a store does. */
  commitsOnDurable = true
  /** False for a disk whose history this journal does not know. */
  checks = true
  /** Appended and neither lost by a crash nor given up; `frame` tells which belong together. */
  private appended: { text: string; lsn: number; frame: number; segmentId: number }[] = []
  private durableCount = 0
  /** Appended and written: what the end of the process leaves, unless the power goes before somebody reads it. */
  private writtenCount = 0
  private frameNumber = 0
  /** The highest that may have been written. */
  private lsnSeen = 0

  constructor(seed: number, options: SimDiskOptions = {}) {
    this.disk = new SimDisk(this.clock, seed, options)
    this.random = new SimRandom(seed + 1)
    this.host = this.machine.startProcess()
  }

  get platform(): Platform {
    const { clock, disk, random, host } = this
    return { clock, disk, random, crypto: new SimCrypto(clock), host, network: null as unknown as Network }
  }

  /** Opens and checks. The promise may stay pending if the disk stops. */
  async open(options: Partial<LogOptions> = {}): Promise<SegmentedLog> {
    const records: SimLogRecord[] = []
    const frames: number[] = []
    const log = await SegmentedLog.open(
      this.platform,
      simLogDirectory,
      { ...logOptionsDefault, ...options },
      {
        record: (_type, _flags, buffer, payloadStart, headerEnd, payloadEnd, segment, lsn) => {
          const text = buffer.toString('latin1', payloadStart, payloadEnd)
          assert(headerEnd - payloadStart === text.indexOf(' ') + 1, `the header part of ${text} is right`)
          records.push({ text, lsn, segmentId: segment.id, offset: recordOffset(buffer, payloadStart) })
        },
        frameEnd: (lsn) => frames.push(lsn),
      },
      {
        durable: (lsn) => this.durable(lsn),
        written: (lsn) => this.written(lsn),
        stalled: (error) => this.events.push(`stalled ${(error as NodeJS.ErrnoException).code}`),
        resumed: () => this.events.push('resumed'),
        failed: (error: LogError) => this.events.push(`failed ${error.code}`),
      },
    )
    this.records = records
    this.frames = frames
    this.log = log
    if (this.checks) this.check(records, frames, log)
    return log
  }

  /** Opens while stepping the clock. */
  opened(options: Partial<LogOptions> = {}): Promise<SegmentedLog> {
    return this.clock.run(this.open(options))
  }

  /** Appends a record whose text begins with its header part and a blank. */
  append(text: string): { segmentId: number; offset: number } {
    const { log } = this
    assert(log !== null, 'the log is open')
    const address = { segmentId: log.openSegment.id, offset: log.openOffset }
    const start = log.begin(7, 0, text.length)
    log.buffer.write(text, start, 'latin1')
    log.end(start + text.indexOf(' ') + 1, start + text.length)
    const frame = this.frameNumber + log.openLsn
    this.appended.push({ text, lsn: log.openLsn, frame, segmentId: address.segmentId })
    return address
  }

  async commit(): Promise<void> {
    const { log } = this
    assert(log !== null, 'the log is open')
    const { openLsn } = log
    log.commit()
    while (log.durableLsn < openLsn && (await this.clock.step()));
  }

  async close(): Promise<void> {
    assert(this.log !== null, 'the log is open')
    await this.clock.run(this.log.close())
    this.lsnSeen = Math.max(this.lsnSeen, this.log.openLsn - 1)
    this.log = null
  }

  /** The power goes (or only the process); what ran is no more. */
  crash(choose?: Parameters<SimDisk['crash']>[0], processOnly = false): void {
    if (this.log !== null) this.lsnSeen = Math.max(this.lsnSeen, this.log.openLsn - 1)
    // After a failed sync the system may show what was there before.
    const hasFailed = this.events.some((event) => event.startsWith('failed'))
    if (!processOnly || hasFailed) this.writtenCount = 0
    this.disk.crash(choose, processOnly)
    this.disk.fault = null
    this.clock.clear()
    this.machine.endProcess(this.host)
    if (!processOnly) this.machine.reboot()
    this.host = this.machine.startProcess()
    this.log = null
    this.events = []
  }

  /** The texts that must be there after whatever happens next. */
  get promised(): string[] {
    return this.appended.slice(0, this.durableCount).map((record) => record.text)
  }

  /** Records up to here may be gone: their segments were given up. */
  forget(text: string): void {
    const index = this.appended.findIndex((record) => record.text === text)
    this.appended.splice(0, index)
    this.durableCount = Math.max(0, this.durableCount - index)
    this.writtenCount = Math.max(0, this.writtenCount - index)
  }

  /** The first record that was appended to that segment or a later one. */
  firstTextFrom(segmentId: number): string | null {
    return this.appended.find((record) => record.segmentId >= segmentId)?.text ?? null
  }

  private durable(lsn: number): void {
    this.events.push(`durable ${lsn}`)
    this.durableCount = this.countUpTo(lsn, this.durableCount)
    if (this.commitsOnDurable) this.log?.commit()
  }

  private written(lsn: number): void {
    this.events.push(`written ${lsn}`)
    this.writtenCount = this.countUpTo(lsn, this.writtenCount)
    if (this.commitsOnDurable) this.log?.commit()
  }

  /** How many records there are up to that frame, `from` or more. */
  private countUpTo(lsn: number, from: number): number {
    let count = from
    while (count < this.appended.length && (this.appended[count] as { lsn: number }).lsn <= lsn) count++
    return count
  }

  private check(records: readonly SimLogRecord[], frames: readonly number[], log: SegmentedLog): void {
    // Leftovers of a retirement may come first; the rest is what this journal knows.
    const first = this.appended[0]
    const from = first === undefined ? 0 : records.findIndex((record) => record.text === first.text)
    const texts = from === -1 ? [] : records.slice(from).map((record) => record.text)
    for (let index = 0; index < texts.length; index++) {
      assert(index < this.appended.length, `${texts[index]} was never appended, or came twice`)
      assert(
        texts[index] === this.appended[index]?.text,
        `${texts[index]} stands in the place of ${this.appended[index]?.text}`,
      )
    }
    const promised = Math.max(this.durableCount, this.writtenCount)
    assert(texts.length >= promised, `${this.appended[texts.length]?.text} was durable or written, and is lost`)
    const last = this.appended[texts.length - 1]
    const next = this.appended[texts.length]
    assert(
      last === undefined || next === undefined || last.frame !== next.frame,
      `the frame of ${next?.text} was divided`,
    )
    for (let index = 1; index < frames.length; index++) {
      assert((frames[index] as number) > (frames[index - 1] as number), 'LSNs rise')
    }
    assert(log.openLsn > this.lsnSeen, 'no LSN is used again')
    this.lsnSeen = log.openLsn - 1
    assert((frames.at(-1) ?? 0) <= this.lsnSeen, 'no LSN is used again')
    // What was shown is a promise, too; what was not there is gone for good.
    this.appended.length = texts.length
    // What was written again has a new place.
    for (let index = 0; index < texts.length; index++) {
      const { segmentId } = records[from + index] as SimLogRecord
      Object.assign(this.appended[index] as object, { segmentId })
    }
    this.durableCount = texts.length
    this.writtenCount = texts.length
    this.frameNumber += 1_000_000
  }
}
