/** What histories ask for with arguments and headers, and what the reference reads out of them again. */
import type { Prng } from '../../lib/prng.ts'
import type { Field, FieldTable } from '../../model/field-table.ts'
import { type ExchangeFacts, type QueueFacts, type QueueRules, usualRules } from './facts.ts'

export function queueArguments({ maxPriority, rules }: Pick<QueueFacts, 'maxPriority' | 'rules'>): FieldTable {
  const table = new Map<string, Field>()
  if (maxPriority > 0) table.set('x-max-priority', numberField(maxPriority))
  if (rules.singleActive) table.set('x-single-active-consumer', { tag: 't', value: true })
  if (rules.messagesMax < Number.POSITIVE_INFINITY) table.set('x-max-length', numberField(rules.messagesMax))
  if (rules.bytesMax < Number.POSITIVE_INFINITY) table.set('x-max-length-bytes', numberField(rules.bytesMax))
  if (isLimited(rules)) table.set('x-overflow', textField('reject-publish'))
  return table
}

export function exchangeArguments({ alternate }: ExchangeFacts): FieldTable {
  return new Map(alternate === null ? [] : [['alternate-exchange', textField(alternate)]])
}

export function consumerArguments(priority: number): FieldTable {
  return new Map(priority === 0 ? [] : [['x-priority', numberField(priority)]])
}

/** The headers that ask for copies under these keys. */
export function copyHeaders(prng: Prng, keys: readonly string[]): FieldTable {
  const shown = keys.filter(() => prng.chance(0.5))
  const hidden = keys.filter((key) => !shown.includes(key))
  const table = new Map<string, Field>()
  if (shown.length > 0) table.set('CC', { tag: 'A', value: shown.map(textField) })
  if (hidden.length > 0) table.set('BCC', { tag: 'A', value: hidden.map(textField) })
  return table
}

/** What the reference reads out of them again. */
export function rulesOf(table: FieldTable): QueueRules {
  const number = (name: string): number => Number(table.get(name)?.value ?? Number.POSITIVE_INFINITY)
  if (table.size === 0) return usualRules
  return {
    singleActive: table.get('x-single-active-consumer')?.value === true,
    messagesMax: number('x-max-length'),
    bytesMax: number('x-max-length-bytes'),
  }
}

function numberField(value: number): Field {
  return { tag: 'I', value }
}

function textField(value: string): Field {
  return { tag: 'S', value }
}

export function isLimited({ messagesMax, bytesMax }: QueueRules): boolean {
  return Math.min(messagesMax, bytesMax) < Number.POSITIVE_INFINITY
}
