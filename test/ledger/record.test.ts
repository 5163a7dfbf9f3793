// The record notices what it is there for: each kind of mistake, made on purpose in a history that is right.
import { expect, it } from 'vitest'
import type { Planned } from './plan.ts'
import { LedgerRecord } from './record.ts'

const plan: readonly Planned[] = [
  { index: 0, key: 'a', number: 1, steps: ['throw', 'process'] },
  { index: 1, key: 'a', number: 2, steps: ['process'] },
  { index: 2, key: 'b', number: 1, steps: ['dead-letter'] },
]

/** All went well; the first was told by a callback, the others in the inbox. */
function right(): LedgerRecord {
  const record = new LedgerRecord(plan)
  const told = (index: number): { index: number; word: 'processed' | 'dead-lettered'; token: string } => ({
    index,
    word: index === 2 ? 'dead-lettered' : 'processed',
    token: `call ${index}`,
  })
  for (const { index, key, number, steps } of plan) {
    const [token, messageId] = [`call ${index}`, `id ${index}`]
    if (index === 2) record.deadLetters.push({ index, token, messageId, attempts: 1 })
    else record.entries.push({ index, key, number, attempt: steps.length, token, messageId, step: 'process' })
    record.stored.push({ send: `1.${index}`, index, id: messageId, duplicate: false })
    if (index === 0) record.callbacks.push({ send: '1.0', told: told(0) })
    else record.inbox.push({ id: messageId, told: told(index) })
    record.again.push({ stored: { send: 'again', index, id: messageId, duplicate: true }, told: told(index) })
  }
  return record
}

it('finds nothing where nothing is wrong', () => {
  const record = right()
  expect(record.violations()).toEqual([])
  record.callbacks.push({ send: '1.1', told: null })
  // The acknowledgement of what a callback was told may be lost: then the inbox has it, too.
  record.inbox.push({ id: 'id 0', told: { index: 0, word: 'processed', token: 'call 0' } })
  expect(record.violations()).toEqual([])
})

it.each<readonly [string, (record: LedgerRecord) => unknown, RegExp]>([
  ['an entry that is missing', ({ entries }) => entries.pop(), /^message 1: 0 entries, 0 dead letters/],
  ['an entry twice', ({ entries }) => entries.push(entries[0]!), /^message 0: 2 entries/],
  ['a dead letter twice', ({ deadLetters }) => deadLetters.push(deadLetters[0]!), /^message 2: 0 entries, 2 dead/],
  ['what a failed attempt sent', ({ entries }) => change(entries, 0, { step: 'throw' }), /^message 0: what an attempt/],
  [
    'an attempt that was not counted',
    ({ entries }) => change(entries, 0, { attempt: 1 }),
    /^message 0: ended in attempt 1/,
  ],
  ['a key out of order', ({ entries }) => entries.reverse(), /^a: number 1 \(message 0\) came behind 2/],
  [
    'a mark that is missing',
    ({ again }) => notAgain(again, 1, { duplicate: false }),
    /^message 1: was taken once more/,
  ],
  ['a mark of something else', ({ again }) => notAgain(again, 1, { id: 'x' }), /^message 1: was said to be x, but/],
  [
    'a duplicate of something else',
    ({ stored }) => change(stored, 1, { duplicate: true, id: 'x' }),
    /is no duplicate of x/,
  ],
  ['an answer of another call', ({ inbox }) => tellWrong(inbox), /^message 1: told processed by another call/],
  ['a sender that nobody told', ({ callbacks }) => callbacks.pop(), /^message 0: nobody told its sender/],
  ['a callback twice', ({ callbacks }) => callbacks.push(callbacks[0]!), /^send 1\.0: 2 callbacks/],
  ['an answer twice', ({ inbox }) => inbox.push(inbox[0]!), /^the inbox has 2 outcomes of id 1/],
])('finds %s', (_what, spoil, found) => {
  const record = right()
  spoil(record)
  expect(record.violations().some((violation) => found.test(violation))).toBe(true)
})

function change<Item>(items: Item[], at: number, changes: Partial<Item>): void {
  items[at] = { ...(items[at] as Item), ...changes }
}

function notAgain(again: LedgerRecord['again'], at: number, changes: Partial<LedgerRecord['stored'][number]>): void {
  const one = again[at] as LedgerRecord['again'][number]
  again[at] = { ...one, stored: { ...one.stored, ...changes } }
}

function tellWrong(inbox: LedgerRecord['inbox']): void {
  const one = inbox[0] as LedgerRecord['inbox'][number]
  inbox[0] = { ...one, told: { ...one.told, token: 'another call' } }
}
