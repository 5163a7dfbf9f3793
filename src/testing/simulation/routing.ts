/**
 * The reference for routing, written to be obviously right and not fast: which queues a message reaches through which
 * bindings and alternate exchanges. Nothing here is shared with the broker.
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
  const keys = [publication.routingKey, ...publication.copies]
  const reached = new Set<string>()
  const seen = new Set<string>()
  const waiting = [publication.exchange]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue
    seen.add(name)
    if (name === '') {
      for (const key of keys) if (tables.queues.has(key)) reached.add(key)
      continue
    }
    const exchange = tables.exchanges.get(name)
    if (exchange === undefined) continue
    const taken = [...tables.bindings.values()].filter(
      (binding) =>
        binding.source === name && keys.some((key) => matches(exchange.kind, binding, key, publication.headers)),
    )
    // Each exchange on the way has its own alternate, which is asked if none of its own bindings took the message.
    if (taken.length === 0 && exchange.alternate !== null) waiting.push(exchange.alternate)
    for (const binding of taken) {
      if (binding.destinationKind === 'queue') reached.add(binding.destination)
      else waiting.push(binding.destination)
    }
  }
  return reached
}

function matches(kind: string, binding: BindingFacts, key: string, headers: FieldTable): boolean {
  switch (kind) {
    case 'fanout':
      return true
    case 'direct':
      return binding.routingKey === key
    case 'topic':
      return topicMatches(binding.routingKey.split('.'), key.split('.'))
    case 'headers':
      return headersMatch(binding.arguments, headers)
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
  const mode = (criteria.get('x-match')?.value ?? 'all') as string
  const counts = (name: string): boolean => name !== 'x-match' && (mode.endsWith('-with-x') || !name.startsWith('x-'))
  const wanted = [...criteria].filter(([name]) => counts(name))
  // One without a value asks for the header alone.
  const met = wanted.filter(([name, field]) =>
    field.tag === 'V' ? headers.has(name) : headers.get(name)?.value === field.value,
  )
  return mode.startsWith('any') ? met.length > 0 : met.length === wanted.length
}
