/** The errors that processes of a history expect: what its crashes and its plan bring about. */

/** Thrown by handlers. */
export class PlannedFailure extends Error {
  override readonly name: string = 'PlannedFailure'
}

const lossCodes: readonly unknown[] = ['E_CONNECTION_LOST', 'E_CLOSED', 'E_CONNECT_FAILED', 'E_LEASE_LOST']

/** The queue was full. */
export function isRefusal(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === 'E_REFUSED'
}

/** Its process or its broker has gone, or its lease: what a test of crashes expects. */
export function isLoss(error: unknown): boolean {
  return lossCodes.includes((error as { readonly code?: unknown } | null)?.code)
}
