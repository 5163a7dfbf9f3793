/** One entry of a definitions.json, whose values are checked when they are asked for: whatever is wrong, it is named. */
import type { Json, JsonObject } from '../model/administration.ts'
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, type PlainValue, toTable } from '../model/field-table.ts'

export class DefinitionEntry {
  private where: string
  private readonly values: JsonObject

  /** Throws PRECONDITION_FAILED unless it is an object. */
  constructor(section: string, at: number, value: Json | undefined) {
    this.where = `${section}[${at}]`
    if (!isObject(value)) throw this.refused('it has to be an object')
    this.values = value
    const name = this.value('name') ?? this.value('user') ?? this.value('source')
    if (typeof name === 'string') this.where += ` '${name}'`
    const host = this.value('vhost')
    if (typeof host === 'string') this.where += ` of vhost '${host}'`
  }

  refused(text: string): BrokerError {
    return new BrokerError('PRECONDITION_FAILED', `definitions: ${this.where}: ${text}`)
  }

  has(key: string): boolean {
    return this.value(key) !== undefined
  }

  value(key: string): Json | undefined {
    return Object.hasOwn(this.values, key) ? this.values[key] : undefined
  }

  all(): Readonly<Record<string, number>> {
    for (const [key, value] of Object.entries(this.values)) {
      if (typeof value !== 'number') throw this.refused(`${key} has to be a number`)
    }
    return this.values as Readonly<Record<string, number>>
  }

  needed(key: string): Json {
    const value = this.value(key)
    if (value === undefined) throw this.refused(`${key} is missing`)
    return value
  }

  text(key: string): string {
    const value = this.needed(key)
    if (typeof value !== 'string') throw this.refused(`${key} has to be text`)
    return value
  }

  optionalText(key: string): string | null {
    return this.value(key) === undefined || this.value(key) === null ? null : this.text(key)
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.value(key) ?? otherwise
    if (typeof value !== 'boolean') throw this.refused(`${key} has to be true or false`)
    return value
  }

  integer(key: string, otherwise: number): number {
    const value = this.value(key) ?? otherwise
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw this.refused(`${key} has to be an integer`)
    return value
  }

  /** `otherwise` null: it has to be there. */
  object(key: string, otherwise: JsonObject | null): JsonObject {
    const value = fromPairs(this.value(key) ?? otherwise)
    if (!isObject(value)) throw this.refused(value === null ? `${key} is missing` : `${key} has to be an object`)
    return value
  }

  /** An object that is a value, as an entry of its own. */
  within(key: string): DefinitionEntry {
    const inner = new DefinitionEntry('', 0, this.object(key, null))
    inner.where = `${this.where}: ${key}`
    return inner
  }

  /** Integers become `l`, and so on: see toField. */
  table(key: string): FieldTable {
    return toTable(this.object(key, {}) as { readonly [key: string]: PlainValue })
  }

  /** A list, or in older versions words with commas between them. */
  tags(): string[] {
    const value = this.value('tags') ?? ''
    const words = typeof value === 'string' ? value.split(',').map((word) => word.trim()) : value
    if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) {
      throw this.refused('tags has to be a list of text, or text')
    }
    return words.filter((word) => word !== '')
  }

  /** An object. */
  limits(): Readonly<Record<string, number>> {
    return this.has('limits') ? this.within('limits').all() : {}
  }
}

/** RabbitMQ 3 writes some objects as lists of pairs, and empty ones as empty lists. */
function fromPairs(value: Json): Json {
  if (!Array.isArray(value)) return value
  const pairs = value as readonly Json[]
  const arePairs = pairs.every((pair) => Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string')
  return arePairs ? Object.fromEntries(pairs as unknown as readonly (readonly [string, Json])[]) : value
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
