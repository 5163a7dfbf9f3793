// The ledger has to see what it is there for.
import { expect, it } from 'vitest'
import { Ledger, messageId } from './ledger.ts'

const [one, two] = [messageId(3, 1), messageId(3, 2)]

function book(...ids: number[]): Ledger {
  const ledger = new Ledger()
  for (const id of ids) {
    ledger.publish(id)
    ledger.confirm(id)
  }
  return ledger
}

it('finds nothing where all is well', () => {
  const ledger = book(one, two)
  const log = ledger.openLog('q', true)
  log(one, false)
  log(two, false)
  const after = ledger.openLog('q', true)
  after(two, true)
  ledger.ack('q', one)
  ledger.remain('q', two)
  expect(ledger.violations(['q'])).toEqual([])
})

it('finds a confirmed message that is neither acknowledged nor there', () => {
  const ledger = book(one, two)
  ledger.remain('q', one)
  expect(ledger.violations(['q'])).toEqual(['message 2 of publisher 3 was confirmed and is lost from q'])
})

it('finds more copies than were sent, and what is back although it was settled', () => {
  const ledger = book(one, two)
  ledger.remain('q', one)
  ledger.remain('q', one)
  ledger.ack('q', two)
  ledger.settle('q', two)
  ledger.remain('q', two)
  expect(ledger.violations(['q'])).toEqual([
    'message 1 of publisher 3 is 2 times in q and was sent 1 times',
    'message 2 of publisher 3 was acknowledged and is back in q',
  ])
})

it('finds what came out of order', () => {
  const ledger = book(one, two)
  const log = ledger.openLog('q', true)
  log(two, false)
  log(one, false)
  ledger.remain('q', one)
  ledger.remain('q', two)
  expect(ledger.violations(['q'])).toEqual(['message 1 of publisher 3 came after message 2 of publisher 3 in q'])
})

it('finds what came twice as if it were fresh, or was never sent', () => {
  const ledger = book(one)
  ledger.openLog('q', false)(one, false)
  ledger.openLog('q', false)(one, false)
  ledger.openLog('q', false)(two, false)
  ledger.remain('q', one)
  expect(ledger.violations(['q'])).toEqual([
    'message 2 of publisher 3 came from q and was never sent',
    'message 1 of publisher 3 came from q again without being marked as redelivered',
  ])
})

it('finds half a transaction', () => {
  const ledger = book(one, two)
  ledger.movesBetween('from', 'to')
  ledger.remain('from', one)
  ledger.remain('to', one)
  expect(ledger.violations([])).toEqual([
    'message 1 of publisher 3 is 2 times in from and to, sent 1 times',
    'message 2 of publisher 3 was confirmed and is lost between from and to',
  ])
})
