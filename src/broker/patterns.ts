/**
 * Compiles patterns. Those that nearly everybody writes are compared as text; for the others the engine is loaded, which
 * takes a moment: whoever takes in a pattern sees to it with `ready`, whoever uses one finds it there.
 */
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { LoadPatternEngine, Matcher, PatternEngine } from '../model/patterns.ts'

const everything: Matcher = { matches: () => true }

export class Patterns {
  private readonly load: LoadPatternEngine | null
  private engine: PatternEngine | null = null
  private loading: Promise<void> | null = null

  /** `load` null: only what can be compared as text is understood. */
  constructor(load: LoadPatternEngine | null) {
    this.load = load
  }

  /** Null: every one of them can be compiled now. */
  ready(patterns: Iterable<string>): Promise<void> | null {
    const { load } = this
    if (this.engine !== null || load === null) return null
    for (const pattern of patterns) if (plainMatcher(pattern) === null) return this.loadEngine(load)
    return null
  }

  /** Throws PRECONDITION_FAILED if it is too long or no regular expression. */
  check(pattern: string): void {
    if (pattern.length > limits.patternLengthMax) {
      throw refused(`a pattern has ${pattern.length} characters, at most ${limits.patternLengthMax} are allowed`)
    }
    this.compile(pattern)
  }

  /** Throws PRECONDITION_FAILED if it is no regular expression. */
  compile(pattern: string): Matcher {
    const plain = plainMatcher(pattern)
    if (plain !== null) return plain
    if (this.engine === null) throw refused(`the pattern '${pattern}' needs a pattern engine, and there is none`)
    try {
      return this.engine.compile(pattern)
    } catch (error) {
      throw refused(`the pattern '${pattern}' is no regular expression: ${(error as Error).message}`)
    }
  }

  private loadEngine(load: LoadPatternEngine): Promise<void> {
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
}

/** `text`, `^text`, `text$`, `^text.*$` and the like, where the text has nothing that means more than itself. */
function plainMatcher(pattern: string): Matcher | null {
  const [, caret, text = '', rest, dollar] = /^(\^?)([\w:/ -]*)(\.\*)?(\$?)$/.exec(pattern) ?? []
  if (caret === undefined) return null
  const begins = caret === '^'
  const ends = dollar === '$' && rest === undefined
  if (begins && ends) return { matches: (name) => name === text }
  // A dot is any character but the end of a line.
  if (begins && rest !== undefined && dollar === '$') {
    return { matches: (name) => name.startsWith(text) && !name.includes('\n', text.length) }
  }
  if (text !== '' && rest !== undefined && dollar === '$') return null
  if (begins) return text === '' ? everything : { matches: (name) => name.startsWith(text) }
  if (ends) return { matches: (name) => name.endsWith(text) }
  return text === '' ? everything : { matches: (name) => name.includes(text) }
}

function refused(text: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', text)
}
