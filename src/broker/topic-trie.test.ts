// Topic matching against a naive reference, with empty words, and with patterns that come and go.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Binding } from './exchange.ts'
import { TopicTrie } from './topic-trie.ts'

/** Words of the pattern against words of the key, as the specification puts it. Exponential, and plainly right. */
function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [word, ...rest] = pattern
  if (word === undefined) return key.length === 0
  if (word === '#') return matches(rest, key) || (key.length > 0 && matches(pattern, key.slice(1)))
  if (key.length === 0) return false
  return (word === '*' || word === key[0]) && matches(rest, key.slice(1))
}

function words(text: string): string[] {
  return text === '' ? [] : text.split('.')
}

function binding(pattern: string, number = 0): Binding {
  return { routingKey: pattern, identity: `${pattern} ${number}` } as unknown as Binding
}

function matched(trie: TopicTrie<Binding>, key: string): string[] {
  const found: string[] = []
  trie.match(key, (match) => found.push(match.identity))
  return found.sort()
}

/** Few words, so that patterns and keys meet; '' among them gives keys such as 'a..b' and '.'. */
const patternArbitrary = fc
  .array(fc.constantFrom('a', 'b', '', '*', '#', 'a*', '##'), { maxLength: 8 })
  .map((list) => list.join('.'))
const keyArbitrary = fc
  .array(fc.constantFrom('a', 'b', '', '*', '#', 'a*'), { maxLength: 7 })
  .map((list) => list.join('.'))

describe('a topic trie', () => {
  test('matches what the naive reference matches, each binding once', () => {
    fc.assert(
      fc.property(fc.array(patternArbitrary, { maxLength: 12 }), fc.array(keyArbitrary), (patterns, keys) => {
        const trie = new TopicTrie<Binding>()
        const bindings = patterns.map((pattern, number) => binding(pattern, number))
        for (const each of bindings) trie.add(each)
        for (const key of keys) {
          const expected = bindings.filter((each) => matches(words(each.routingKey), words(key)))
          expect(matched(trie, key), `key '${key}'`).toEqual(expected.map((each) => each.identity).sort())
        }
      }),
      { numRuns: 500 },
    )
  })

  test('forgets a pattern that is removed and no other, and keeps no node of it', () => {
    const step = fc.tuple(patternArbitrary, fc.nat(1), fc.boolean())
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.array(keyArbitrary, { minLength: 1 }), (steps, keys) => {
        const trie = new TopicTrie<Binding>()
        const present = new Map<string, Binding>()
        for (const [pattern, number, isAdded] of steps) {
          const one = binding(pattern, number)
          const known = present.get(one.identity)
          if (isAdded && known === undefined) {
            trie.add(one)
            present.set(one.identity, one)
          } else if (!isAdded && known !== undefined) {
            trie.remove(known)
            present.delete(one.identity)
          }
        }
        for (const key of keys) {
          const expected = [...present.values()].filter((each) => matches(words(each.routingKey), words(key)))
          expect(matched(trie, key)).toEqual(expected.map((each) => each.identity).sort())
        }
        for (const each of present.values()) trie.remove(each)
        const { root } = trie as unknown as { root: { words: Map<string, unknown>; star: unknown; hash: unknown } }
        expect([root.words.size, root.star, root.hash]).toEqual([0, null, null])
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['#', '', true],
    ['#', 'a.b.c', true],
    ['*', '', false],
    ['*', 'a', true],
    ['a.#', 'a', true],
    ['a.#', 'ab', false],
    ['#.a', 'a', true],
    ['a.*.b', 'a..b', true],
    ['a.*', 'a.', true],
    ['a', 'A', false],
    ['#.#', '', true],
    ['#.a.#', 'b.a.c', true],
    ['*.#.*', 'a', false],
    ['*.#.*', 'a.b', true],
    ['a*', 'ab', false],
    ['', '', true],
    ['', 'a', false],
  ])("lets '%s' match '%s': %s", (pattern, key, expected) => {
    const trie = new TopicTrie<Binding>()
    trie.add(binding(pattern))
    expect(matched(trie, key).length === 1).toBe(expected)
  })

  test('does not take longer than words times nodes for patterns made of hashes', () => {
    const trie = new TopicTrie<Binding>()
    trie.add(binding(new Array<string>(30).fill('#.a').join('.')))
    // A recursive walk would need 2^30 steps here and never come back.
    expect(matched(trie, new Array<string>(40).fill('a').join('.'))).toHaveLength(1)
    expect(matched(trie, new Array<string>(40).fill('b').join('.'))).toHaveLength(0)
  })

  // RabbitMQ's own limit is on the number of hashes in a pattern; it is the words behind the first one that cost.
  test('visits no more than a few nodes for each word and binding, whatever the patterns and the key are', () => {
    const worst = fc.array(fc.constantFrom('a', '*', '#'), { minLength: 60, maxLength: 126 })
    const prefix = fc.array(fc.constantFrom('a', '*'), { maxLength: 30 })
    const pattern = fc.oneof(
      worst.map((list) => ['#', ...list].join('.').slice(0, 255)),
      fc
        .tuple(prefix, fc.array(fc.constantFrom('a', '*', '#'), { maxLength: 4 }))
        .map(([a, b]) => [...a, '#', ...b].join('.')),
    )
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 100, maxLength: 200 }), (patterns) => {
        const trie = new TopicTrie<Binding>()
        for (const [number, each] of patterns.entries()) trie.add(binding(each, number))
        const key = new Array<string>(128).fill('a')
        matched(trie, key.join('.'))
        expect(trie.nodesVisited).toBeLessThanOrEqual(key.length * (5 * patterns.length + 1))
      }),
      { numRuns: 20 },
    )
  })
})

/** As `matches`, in time that fits long patterns. */
function matchesLong(pattern: readonly string[], key: readonly string[]): boolean {
  let reached = new Set([0])
  const withoutHash = (from: Set<number>): Set<number> => {
    const all = new Set(from)
    for (const at of all) if (pattern[at] === '#') all.add(at + 1)
    return all
  }
  reached = withoutHash(reached)
  for (const word of key) {
    const next = new Set<number>()
    for (const at of reached) {
      if (pattern[at] === '#') next.add(at)
      else if (pattern[at] === '*' || pattern[at] === word) next.add(at + 1)
    }
    reached = withoutHash(next)
  }
  return reached.has(pattern.length)
}

test('long patterns match what a reference for long patterns matches, up to 255 octets', () => {
  const word = fc.constantFrom('a', 'a', 'b', '*', '#', '')
  const pattern = fc.array(word, { minLength: 5, maxLength: 127 })
  const key = fc.array(fc.constantFrom('a', 'a', 'b', ''), { maxLength: 127 })
  fc.assert(
    fc.property(pattern, fc.array(key, { minLength: 1, maxLength: 5 }), (words, keys) => {
      const trie = new TopicTrie<Binding>()
      trie.add(binding(words.join('.')))
      const all = [...keys, words.map((each) => (each === '#' || each === '*' ? 'a' : each))]
      for (const each of all) {
        const asKey = each.length === 1 && each[0] === '' ? [] : each
        expect(matched(trie, each.join('.')).length === 1, each.join('.')).toBe(matchesLong(words, asKey))
      }
    }),
    { numRuns: 500 },
  )
})
