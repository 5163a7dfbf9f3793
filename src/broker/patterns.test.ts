// Patterns that need no engine mean what an engine would make of them.
import { expect, test } from 'vitest'
import type { Matcher } from '../model/patterns.ts'
import { loadPatternEngine } from '../pattern-engine.ts'
import { Patterns } from './patterns.ts'

const texts = [
  '',
  'o',
  'orders',
  'orders.dead',
  'my orders',
  'my orders too',
  'ordersorders',
  'Orders',
  'a\nb',
  'orders\nb',
  '-',
]
const plain = [
  '',
  '.*',
  '^.*',
  '.*$',
  '^.*$',
  '^',
  '$',
  '^$',
  'orders',
  '^orders',
  'orders$',
  '^orders$',
  '^orders.*',
  'orders.*',
  '^orders.*$',
  'my orders',
  '-',
]
const others = [
  '^(a|b)',
  'orders.',
  'orders.*$',
  String.raw`^a\.b`,
  '^{username}',
  '[ab]',
  'a+',
  '^^orders',
  'orders$$',
  '.*.*',
]

test.each(plain)('%j is understood without an engine', async (pattern) => {
  const engine = await loadPatternEngine()
  const patterns = new Patterns(null)
  expect(patterns.ready([pattern])).toBeNull()
  const [own, theirs]: Matcher[] = [patterns.compile(pattern), engine.compile(pattern)]
  for (const text of texts) expect(own?.matches(text), JSON.stringify(text)).toBe(theirs?.matches(text))
})

test.each(others)('%j loads the engine, once', async (pattern) => {
  let loads = 0
  const patterns = new Patterns(() => {
    loads++
    return loadPatternEngine()
  })
  expect(patterns.ready(['.*', '^orders'])).toBeNull()
  expect(loads).toBe(0)
  await Promise.all([patterns.ready([pattern]), patterns.ready([pattern])])
  expect(patterns.ready([pattern])).toBeNull()
  patterns.check(pattern)
  expect(loads).toBe(1)
})

test('an engine that cannot be loaded says so, and is tried again', async () => {
  let isThere = false
  const patterns = new Patterns(() => (isThere ? loadPatternEngine() : Promise.reject(new Error('no such package'))))
  await expect(patterns.ready(['a+'])).rejects.toThrow('no such package')
  isThere = true
  await patterns.ready(['a+'])
  patterns.check('a+')
})
