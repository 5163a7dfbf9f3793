/** Compiles cron expressions: the engine is loaded with the first of them, as that of patterns.ts is. */
import type { CronEngine, CronTimes, LoadCronEngine } from '../model/cron.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'

export class Crons {
  private readonly load: LoadCronEngine | null
  private engine: CronEngine | null = null
  private loading: Promise<void> | null = null

  /** `load` null: no expression is understood. */
  constructor(load: LoadCronEngine | null) {
    this.load = load
  }

  /** Null: an expression can be compiled now. */
  ready(): Promise<void> | null {
    const { load } = this
    if (this.engine !== null || load === null) return null
    this.loading ??= load().then(
      (engine) => {
        this.engine = engine
      },
      (error: unknown) => {
        this.loading = null
        throw error
      },
    )
    return this.loading
  }

  /** Throws PRECONDITION_FAILED, which says what is wrong. */
  compile(expression: string, timezone: string): CronTimes {
    if (expression.length > limits.cronLengthMax) {
      throw refused(
        `a cron expression has ${expression.length} characters, at most ${limits.cronLengthMax} are allowed`,
      )
    }
    if (this.engine === null) throw refused(`'${expression}' needs a cron engine, and there is none`)
    try {
      return this.engine.compile(expression, timezone)
    } catch (error) {
      throw refused(`the cron expression '${expression}' in '${timezone}': ${(error as Error).message}`)
    }
  }
}

function refused(text: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', text)
}
