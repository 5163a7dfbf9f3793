/** RE2 as the pattern engine: whatever an expression is, the time it takes grows with the text alone. */
import type { PatternEngine } from './model/patterns.ts'

export async function loadPatternEngine(): Promise<PatternEngine> {
  const { RE2JS } = await import('re2js')
  return {
    compile(pattern) {
      const compiled = RE2JS.compile(pattern)
      return { matches: (text) => compiled.test(text) }
    },
  }
}
