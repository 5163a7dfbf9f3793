// Schemas as any Standard Schema library makes them.
import type { StandardSchema } from '../../src/index.ts'

/** A schema from a function that gives the value or throws. */
export function schemaOf<Input, Output>(
  check: (value: unknown) => Output | Promise<Output>,
): StandardSchema<Input, Output> {
  const validate = (value: unknown): unknown => {
    try {
      const checked = check(value)
      if (!(checked instanceof Promise)) return { value: checked }
      return checked.then(
        (known) => ({ value: known }),
        (error: Error) => ({ issues: [{ message: error.message }] }),
      )
    } catch (error) {
      return { issues: [{ message: (error as Error).message }] }
    }
  }
  return { '~standard': { version: 1, vendor: 'test', validate } } as StandardSchema<Input, Output>
}

/** Text that is a day on this side of the wire, a number of milliseconds on the other. */
export const day: StandardSchema<{ day: string }, { ms: number }> = schemaOf((value) => {
  const ms = Date.parse(String((value as { day?: unknown } | null)?.day))
  if (Number.isNaN(ms)) throw new Error('no day')
  return { ms }
})

export const positive: StandardSchema<number, number> = schemaOf((value) => {
  if (typeof value === 'number' && value > 0) return value
  throw new Error('not positive')
})
