/**
 * Regular expressions of administrators, in permissions and policies: they search a name, unanchored, as RabbitMQ's do. What
 * matches them is injected, because an engine that takes linear time whatever the expression is a package of its own, and
 * most brokers never need one.
 */

export interface Matcher {
  matches(text: string): boolean
}

export interface PatternEngine {
  /** Throws an Error that says what is wrong with the pattern. */
  compile(pattern: string): Matcher
}

/** Called once, when the first pattern comes that needs an engine. */
export type LoadPatternEngine = () => Promise<PatternEngine>
