/** Calls: now and then somebody asks for a price, and waits for the answer. */
import { setLivingTimer } from '../../client/keep-alive.ts'
import { type Bus, defineCall } from '../../index.ts'
import type { CallFigures, DemoPlatform } from './state.ts'

interface Question {
  readonly copies: number
}

const price = defineCall<Question, number>('demo.price')

const askEveryMs = 700
const answerMs = 3
const timeoutMs = 2_000

export class Calls {
  private readonly platform: DemoPlatform
  private readonly bus: Bus
  private answered = 0
  private totalMs = 0
  private last: CallFigures['last'] = null
  private cancelTimer: () => void = () => {}

  static async open(platform: DemoPlatform, bus: Bus): Promise<Calls> {
    const calls = new Calls(platform, bus)
    await bus.answer(price, (question) => calls.priceOf(question))
    return calls
  }

  private constructor(platform: DemoPlatform, bus: Bus) {
    this.platform = platform
    this.bus = bus
  }

  start(): void {
    const { clock, random } = this.platform
    const next = (): void => {
      void this.ask(2 + Math.floor(random.next() * 49))
      this.cancelTimer = setLivingTimer(clock, askEveryMs, next)
    }
    next()
  }

  stop(): void {
    this.cancelTimer()
  }

  figures(): CallFigures {
    const { answered, totalMs, last } = this
    return { answered, totalMs, last }
  }

  private async ask(copies: number): Promise<void> {
    const { clock } = this.platform
    const startMs = clock.monotonicMs()
    try {
      const euros = await this.bus.call(price, { copies }, { timeout: timeoutMs })
      const ms = clock.monotonicMs() - startMs
      this.answered++
      this.totalMs += ms
      this.last = { question: `what do ${copies} prints cost?`, answer: `${euros.toFixed(2)} €`, ms }
    } catch {
      // Without an answer there is none to be shown, and the next question comes soon.
    }
  }

  private priceOf({ copies }: Question): Promise<number> {
    return new Promise((resolve) => {
      setLivingTimer(this.platform.clock, answerMs, () => resolve(copies * 0.19))
    })
  }
}
