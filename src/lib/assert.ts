/**
 * Assertions stay on in production: a broker that goes on after an impossible state loses messages quietly.
 * They are for our own mistakes only; what a peer or a user does wrong is a BrokerError or a LeveretError.
 */

export class AssertionError extends Error {
  override readonly name: string = 'AssertionError'
}

/** Throws when our own reasoning is wrong. One condition per call, so that the message names the one that failed. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** Marks a branch that no input can reach. */
export function unreachable(message: string): never {
  throw new AssertionError(`unreachable: ${message}`)
}
