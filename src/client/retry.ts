/** How often and when a message is tried again whose handler threw. */
import { LeveretError } from '../model/errors.ts'
import { clientLimits } from './client-limits.ts'
import { type Duration, durationMs } from './duration.ts'
import { checkInteger, checkOptionNames, shown } from './names.ts'

export interface RetryOptions {
  /** How often the handler is called for one message at most, the first time included. Default 3. */
  readonly attempts?: number
  /** 'exponential' doubles the pause from attempt to attempt, 'fixed' keeps it. Default: exponential. */
  readonly backoff?: 'exponential' | 'fixed'
  /** The first pause. Default 1 s. */
  readonly min?: Duration
  /** No pause is longer. Default 5 minutes. */
  readonly max?: Duration
  /** Takes off up to half of each pause by chance, so that what failed together does not come back together. Default true. */
  readonly jitter?: boolean
}

export interface Retry {
  readonly attempts: number
  readonly factor: 1 | 2
  readonly minMs: number
  readonly maxMs: number
  readonly jitter: boolean
}

/** Throws E_BAD_OPTION. */
export function retryOf(where: string, options: RetryOptions): Retry {
  checkOptionNames(`${where}: retry`, options, ['attempts', 'backoff', 'min', 'max', 'jitter'])
  const { attempts = clientLimits.attemptsDefault, backoff = 'exponential', jitter = true } = options
  checkInteger(where, 'retry.attempts', attempts, 1, clientLimits.attemptsMax)
  if (backoff !== 'exponential' && backoff !== 'fixed') {
    throw new LeveretError(
      'E_BAD_OPTION',
      `${where}: retry.backoff is ${shown(backoff)}, and has to be 'exponential' or 'fixed'`,
    )
  }
  const minMs = durationMs(options.min ?? clientLimits.backoffMinMs, `${where}: retry.min`)
  const maxMs = durationMs(options.max ?? Math.max(minMs, clientLimits.backoffMaxMs), `${where}: retry.max`)
  if (minMs > maxMs) {
    throw new LeveretError('E_BAD_OPTION', `${where}: retry.min is longer than retry.max: swap them`)
  }
  return { attempts, factor: backoff === 'exponential' ? 2 : 1, minMs, maxMs, jitter }
}

/** The pause after the attempt with that number has failed (1 = the first); `chance` is in [0, 1). */
export function pauseMs(retry: Retry, attempt: number, chance: number): number {
  const full = Math.min(retry.maxMs, retry.minMs * retry.factor ** (attempt - 1))
  return retry.jitter ? full * (1 - chance / 2) : full
}
