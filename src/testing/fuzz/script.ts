/** What one hostile client does, written down before it begins, so that steps can be left out and the rest stays the same. */

export type Step =
  | {
      readonly type: 'send'
      /** For whoever reads a failure. */
      readonly what: string
      readonly octets: Buffer
      readonly frames: number
      /** Without it nothing is known of how the script ends. */
      readonly isNeeded?: boolean
    }
  | { readonly type: 'wait'; readonly ms: number }
  /** It reads no more, or again. */
  | { readonly type: 'deaf'; readonly isDeaf: boolean }

/** What the maker of a script knows of how it must end. */
export type Expected =
  /** connection.close or channel.close with that code. */
  | { readonly closes: 'connection' | 'channel'; readonly code: number }
  /** The socket ends and nothing is said. */
  | { readonly closes: 'socket' }
  /** Our protocol header is the answer, and the end. */
  | { readonly closes: 'header' }
  /** connection.close-ok, and the end. */
  | { readonly closes: 'politely' }

export interface Script {
  readonly steps: readonly Step[]
  readonly expected: Expected | null
  /** Which closes it answers; a channel it opens again at once. */
  readonly answers: 'all' | 'connection.close' | 'none'
}

export function send(what: string, frames: readonly Buffer[]): Step {
  return { type: 'send', what, octets: Buffer.concat(frames), frames: Math.max(1, frames.length) }
}

/** As `send`, for what a script that knows its end cannot do without. */
export function need(what: string, frames: readonly Buffer[]): Step {
  return { type: 'send', what, octets: Buffer.concat(frames), frames: Math.max(1, frames.length), isNeeded: true }
}

export function describeStep(step: Step): string {
  switch (step.type) {
    case 'wait':
      return `wait ${step.ms} ms`
    case 'deaf':
      return step.isDeaf ? 'read no more' : 'read again'
    case 'send': {
      const { what, octets, frames } = step
      const shown = octets.subarray(0, 160).toString('hex')
      const more = octets.length > 160 ? `… (${octets.length} octets)` : ''
      return `${what}, ${frames} frames: ${shown}${more}`
    }
  }
}
