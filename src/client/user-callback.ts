/** Calls what a user gave us. */
import { asError } from './headers.ts'

/** What it throws, or rejects with, `failed` hears: nobody else waits for it, and it must not end the process. */
export function runCallback(call: () => unknown, failed: (error: Error) => void): void {
  try {
    const returned = call()
    if (returned instanceof Promise) returned.catch((error: unknown) => failed(asError(error)))
  } catch (error) {
    failed(asError(error))
  }
}
