/** A judge over letters: each is at one station, or gone for a reason. For workloads whose messages move by themselves. */
import type { Driver } from '../../model/channel.ts'
import type { Message } from '../../model/message.ts'
import type { Clock } from '../../platform/clock.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { type OpenedBroker, readState } from './found-state.ts'
import type { Judge, Verdict } from './judge.ts'
import { type Letter, type LetterQueue, noWishes, type Station } from './letter.ts'
import { LetterPort } from './letter-port.ts'
import { Letters } from './letters.ts'
import type { LogEnds } from './level.ts'
import { type Trace, Violation } from './trace.ts'

export class LettersJudge implements Judge {
  private readonly letters: Letters
  private readonly trace: Trace
  private readonly clock: Clock
  private readonly storage: LogStoreOptions
  private port: LetterPort | null = null
  private frames: LogEnds = { openLsn: 1, writtenLsn: 0, durableLsn: 0 }

  constructor(queues: readonly LetterQueue[], trace: Trace, clock: Clock, storage: LogStoreOptions) {
    this.letters = new Letters(queues, trace)
    this.trace = trace
    this.clock = clock
    this.storage = storage
  }

  make(queue: string, bodyBytes: number, delayMs: number): Message {
    return this.letters.make(queue, null, Number.POSITIVE_INFINITY, bodyBytes, { ...noWishes, delayMs })
  }

  opened({ broker, store }: OpenedBroker): Driver {
    const { letters, trace, clock } = this
    this.frames = store
    const parts = { letters, trace, clock, frames: store, durability: 'fsync', promised: () => {} } as const
    this.port = new LetterPort(broker, parts)
    return this.port
  }

  async close(): Promise<void> {
    await this.port?.close()
    const { openLsn, writtenLsn, durableLsn } = this.frames
    this.frames = { openLsn, writtenLsn, durableLsn }
  }

  verdict(): Verdict {
    const { letters, storage } = this
    const { durableLsn } = this.frames
    letters.latestMs = Math.max(letters.latestMs, this.clock.realtimeMs())
    const key = `${this.trace.lines} ${durableLsn}`
    return {
      key,
      async check(clock, disk) {
        const places = letters.check(await readState(clock, disk, storage), durableLsn)
        return shownVerdict(letters, storage, `${key}, shown ${textOf(places)}`, places)
      },
    }
  }
}

/** Who was shown that finds the same once more. */
function shownVerdict(
  letters: Letters,
  storage: LogStoreOptions,
  key: string,
  places: ReadonlyMap<Letter, Station>,
): Verdict {
  return {
    key,
    async check(clock, disk) {
      const found = letters.check(await readState(clock, disk, storage), 0)
      if (textOf(found) === textOf(places)) return this
      throw new Violation('I14', `a recovery showed ${textOf(places)}, the next one ${textOf(found)}`)
    },
  }
}

function textOf(places: ReadonlyMap<Letter, Station>): string {
  return [...places].map(([{ id }, { key }]) => `#${id} in ${key}`).join('; ')
}
