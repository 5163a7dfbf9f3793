// The list of rules that are taken out one by one to see whether a test misses them (scripts/rule-mutants.mjs) must keep up with
// the code: each entry names one place that is there.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface RuleMutant {
  readonly rule: string
  readonly file: string
  readonly from: string
  readonly to: string
}

const mutants = JSON.parse(
  readFileSync(new URL('../scripts/rule-mutants.json', import.meta.url), 'utf8'),
) as readonly RuleMutant[]

test.each(mutants)('the rule "$rule" is in one place', ({ file, from, to }) => {
  const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  expect(source.split(from)).toHaveLength(2)
  expect(to).not.toBe(from)
})

test('no rule is listed twice', () => {
  expect(new Set(mutants.map(({ rule }) => rule)).size).toBe(mutants.length)
})
