// The rule of headers exchanges against a reference written from the specification's sentences.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Field, type FieldTable, sameField, toTable } from '../model/field-table.ts'
import { checkHeaderCriteria, headersMatch } from './header-match.ts'

const fieldArbitrary: fc.Arbitrary<Field> = fc.constantFrom<Field>(
  { tag: 'l', value: 1 },
  { tag: 'b', value: 1 },
  { tag: 'l', value: 2 },
  { tag: 'd', value: 1 },
  { tag: 'S', value: '1' },
  { tag: 't', value: true },
  { tag: 'V', value: null },
)
const tableArbitrary: fc.Arbitrary<FieldTable> = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'x-a', 'x-b'), fieldArbitrary, { maxKeys: 5 })
  .map((fields) => new Map(Object.entries(fields)))

describe('a headers binding', () => {
  test('matches as the specification says, in all four modes', () => {
    const mode = fc.constantFrom(null, 'all', 'any', 'all-with-x', 'any-with-x')
    fc.assert(
      fc.property(mode, tableArbitrary, tableArbitrary, (xMatch, criteria, headers) => {
        const binding = new Map(criteria)
        if (xMatch !== null) binding.set('x-match', { tag: 'S', value: xMatch })
        const counted = [...criteria].filter(([key]) => xMatch?.endsWith('with-x') === true || !key.startsWith('x-'))
        const hits = counted.filter(([key, wanted]) => {
          const header = headers.get(key)
          return header !== undefined && (wanted.tag === 'V' || sameField(wanted, header))
        })
        const isAny = xMatch?.startsWith('any') === true
        const expected = isAny ? hits.length > 0 : hits.length === counted.length
        expect(headersMatch(binding, headers)).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })

  test('takes integers of every width as one type, and never for a float or a text', () => {
    const criteria: FieldTable = new Map<string, Field>([['n', { tag: 'b', value: 1 }]])
    const one = (field: Field): boolean => headersMatch(criteria, new Map([['n', field]]))
    expect(one({ tag: 'l', value: 1 })).toBe(true)
    expect(one({ tag: 'd', value: 1 })).toBe(false)
    expect(one({ tag: 'S', value: '1' })).toBe(false)
  })

  test('takes a time for a number and a text for its bytes', () => {
    const matches = (wanted: Field, header: Field): boolean =>
      headersMatch(new Map([['n', wanted]]), new Map([['n', header]]))
    expect(matches({ tag: 'T', value: 1 }, { tag: 'l', value: 1 })).toBe(true)
    expect(matches({ tag: 'b', value: 1 }, { tag: 'T', value: 1 })).toBe(true)
    expect(matches({ tag: 'T', value: 1 }, { tag: 'd', value: 1 })).toBe(false)
    expect(matches({ tag: 'S', value: 'é' }, { tag: 'x', value: Buffer.from('é') })).toBe(true)
    expect(matches({ tag: 'x', value: Buffer.from('1') }, { tag: 'S', value: '1' })).toBe(true)
    expect(matches({ tag: 'S', value: '1' }, { tag: 'l', value: 1 })).toBe(false)
  })

  test('compares x-match itself to nothing, even with-x', () => {
    expect(headersMatch(toTable({ 'x-match': 'all-with-x' }), toTable({}))).toBe(true)
    expect(headersMatch(toTable({ 'x-match': 'any-with-x' }), toTable({ 'x-match': 'any-with-x' }))).toBe(false)
  })

  test('is refused with a mode that is none', () => {
    expect(() => checkHeaderCriteria(toTable({ 'x-match': 'some' }))).toThrow(
      'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
    )
    expect(() => checkHeaderCriteria(toTable({ 'x-match': '' }))).toThrow('Invalid x-match field value <<>>; expected')
    expect(() => checkHeaderCriteria(toTable({ 'x-match': 1 }))).toThrow(
      'Invalid x-match field type long (value 1); expected longstr',
    )
    for (const mode of ['all', 'any', 'all-with-x', 'any-with-x']) checkHeaderCriteria(toTable({ 'x-match': mode }))
    checkHeaderCriteria(toTable({ a: 1 }))
  })
})
