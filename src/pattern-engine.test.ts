// The real engine: it finds what RabbitMQ's regular expressions find, and nothing makes it slow.
import { expect, test } from 'vitest'
import { loadPatternEngine } from './pattern-engine.ts'

test.each([
  ['^(orders|invoices)$', 'orders', true],
  ['^(orders|invoices)$', 'my orders', false],
  ['orders', 'my orders here', true],
  [String.raw`^amq\.gen-.*`, 'amq.gen-abc', true],
  [String.raw`^[\w.-]+\.dead$`, 'a-b.dead', true],
  ['^$', '', true],
  ['(?i)ORDERS', 'orders', true],
])('%s in %j: %s', async (pattern, text, expected) => {
  const engine = await loadPatternEngine()
  expect(engine.compile(pattern).matches(text)).toBe(expected)
})

test.each(['(', 'a**', '[z-a]', '(?=a)', String.raw`(a)\1`, 'x{2000}'])(
  '%s is refused with the reason: it is none, or cannot be matched in linear time',
  async (pattern) => {
    const engine = await loadPatternEngine()
    expect(() => engine.compile(pattern)).toThrow(/\w/)
  },
)

test('patterns that take others for ever answer, for the longest name there is', { timeout: 5_000 }, async () => {
  const engine = await loadPatternEngine()
  for (const pattern of ['^(a+)+$', '^(a|a)*$', '(a*)*b', '^(([a-z])+.)+[A-Z]([a-z])+$', '(.*)*x(.*)*y']) {
    expect(engine.compile(pattern).matches(`${'a'.repeat(254)}!`)).toBe(false)
  }
})
