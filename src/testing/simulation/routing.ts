/**
 * The reference for routing, written to be obviously right and not fast: which queues a message reaches through which
 * bindings. Nothing here is shared with the broker.
 */
import type { FieldTable } from '../../model/field-table.ts'
import type { BindingFacts, ExchangeFacts, Publication } from './facts.ts'

export interface RoutingTables {
  readonly exchanges: ReadonlyMap<string, ExchangeFacts>
  readonly queues: ReadonlyMap<string, unknown>
  readonly bindings: ReadonlyMap<string, BindingFacts>
}

/** The names of the queues that get it, each once. */
export function route(tables: RoutingTables, publication: Publication): Set<string> {
  const reached = new Set<string>()
  if (publication.exchange === '') {
    if (tables.queues.has(publication.routingKey)) reached.add(publication.routingKey)
    return reached
  }
  const seen = new Set<string>()
  const waiting = [publication.exchange]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue
    seen.add(name)
    for (const binding of tables.bindings.values()) {
      if (binding.source !== name || !matches(tables.exchanges.get(name)?.kind ?? '', binding, publication)) continue
      if (binding.destinationKind === 'queue') reached.add(binding.destination)
      else waiting.push(binding.destination)
    }
  }
  return reached
}

function matches(kind: string, binding: BindingFacts, publication: Publication): boolean {
  switch (kind) {
    case 'fanout':
      return true
    case 'direct':
      return binding.routingKey === publication.routingKey
    case 'topic':
      return topicMatches(binding.routingKey.split('.'), publication.routingKey.split('.'))
    case 'headers':
      return headersMatch(binding.arguments, publication.headers)
    default:
      return false
  }
}

function topicMatches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') {
    for (let skipped = 0; skipped <= words.length; skipped++) {
      if (topicMatches(rest, words.slice(skipped))) return true
    }
    return false
  }
  return words.length > 0 && (first === '*' || first === words[0]) && topicMatches(rest, words.slice(1))
}

function headersMatch(criteria: FieldTable, headers: FieldTable): boolean {
  const wanted = [...criteria].filter(([name]) => name !== 'x-match')
  const met = wanted.filter(([name, field]) => headers.get(name)?.value === field.value)
  return criteria.get('x-match')?.value === 'any' ? met.length > 0 : met.length === wanted.length
}
