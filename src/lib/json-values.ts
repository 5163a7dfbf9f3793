/** Values out of JSON that comes from another process, maybe of another version. Each throws an Error that names what is wrong. */

export type JsonValues = { readonly [key: string]: unknown }

export function objectOf(value: unknown, what: string): JsonValues {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonValues
  throw new Error(`${what} is no object`)
}

export function flagOf(object: JsonValues, key: string): boolean {
  const value = object[key]
  if (typeof value === 'boolean') return value
  throw new Error(`${key} is no boolean`)
}

export function textOf(object: JsonValues, key: string): string {
  const value = object[key]
  if (typeof value === 'string') return value
  throw new Error(`${key} is no text`)
}

export function countOf(object: JsonValues, key: string): number {
  const value = object[key]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`${key} is no count`)
}

export function wordOf<Word>(object: JsonValues, key: string, words: readonly Word[]): Word {
  const value = object[key]
  const word = words.find((one) => one === value)
  if (word === undefined) throw new Error(`${key} is ${JSON.stringify(value)}`)
  return word
}
