// What may have become of a letter, for the cases that are easy to get wrong.
import { describe, expect, it } from 'vitest'
import { Letter, type LetterQueue, noWishes, plainRules } from './letter.ts'

const never = Number.POSITIVE_INFINITY

function queues(...list: readonly [name: string, ttlMs: number, deadTo: string | null][]): Map<string, LetterQueue> {
  return new Map(
    list.map(([name, ttlMs, deadTo]) => [name, { name, ttlMs, keyed: 0, maxPriority: 0, deadTo, rules: plainRules }]),
  )
}

function letterIn(among: Map<string, LetterQueue>, queue: string, expirationMs = never): Letter {
  const letter = new Letter(among, 1, null, expirationMs, 0)
  letter.publish(among.get(queue) as LetterQueue, 5, 1_000)
  return letter
}

function hiddenLetterIn(among: Map<string, LetterQueue>, queue: string, delayMs: number): Letter {
  const letter = new Letter(among, 1, null, never, 0, { ...noWishes, delayMs })
  letter.publish(among.get(queue) as LetterQueue, 5, 1_000)
  return letter
}

const keysAt = (letter: Letter, durableLsn: number, nowMs: number) =>
  letter.possible(durableLsn, nowMs).stations.map(({ key }) => key)

describe('a letter', () => {
  it('may be missing only before its frame is durable', () => {
    const letter = letterIn(queues(['a', never, null]), 'a')
    expect([4, 5].map((lsn) => letter.possible(lsn, 2_000).mayBeGone)).toEqual([true, false])
  })

  it('may be in the next queue when its time has come, not before, and in none where there is no next', () => {
    const letter = letterIn(queues(['a', 100, 'b'], ['b', 50, null]), 'a')
    expect(keysAt(letter, 5, 1_098)).toEqual(['a'])
    expect(keysAt(letter, 5, 1_100)).toEqual(['a', 'b, 1x expired in a'])
    expect([1_140, 1_150].map((nowMs) => letter.possible(5, nowMs).mayBeGone)).toEqual([false, true])
  })

  it('is dropped where it would come to a queue a second time by expiring alone', () => {
    const circle = queues(['a', 100, 'b'], ['b', 100, 'a'])
    const letter = letterIn(circle, 'a')
    expect(keysAt(letter, 5, 9_000)).toEqual(['a', 'b, 1x expired in a'])
    expect(letter.possible(5, 9_000).mayBeGone).toBe(true)
    letter.place.rejectedMs = 1_010
    expect(keysAt(letter, 5, 1_020)).toEqual(['a', 'b, 1x rejected in a'])
  })

  it('is no longer where it was before the last place where it was seen durably', () => {
    const letter = letterIn(queues(['a', 100, 'b'], ['b', never, null]), 'a')
    const [, there] = letter.possible(5, 1_200).stations
    if (there !== undefined) letter.see(there, 8)
    expect(keysAt(letter, 7, 1_200)).toEqual(['a', 'b, 1x expired in a'])
    expect(keysAt(letter, 8, 1_200)).toEqual(['b, 1x expired in a'])
  })

  it('must be gone when its acknowledgement is durable, and may be before', () => {
    const letter = letterIn(queues(['a', never, null]), 'a')
    letter.place.ackedLsn = 9
    const { mayBeGone, mustBeGone } = letter.possible(8, 2_000)
    expect([mayBeGone, mustBeGone, letter.possible(9, 2_000).mustBeGone]).toEqual([true, false, true])
  })

  it('is hidden until it is due, and expires as long after that as it may wait', () => {
    const letter = hiddenLetterIn(queues(['a', 100, 'b'], ['b', never, null]), 'a', 500)
    expect(keysAt(letter, 5, 1_499)).toEqual(['hidden in a'])
    expect(keysAt(letter, 5, 1_500)).toEqual(['hidden in a', 'a'])
    expect(keysAt(letter, 5, 1_600)).toEqual(['hidden in a', 'a', 'b, 1x expired in a'])
  })

  it('is no longer hidden when it was seen durably where nothing hides it', () => {
    const letter = hiddenLetterIn(queues(['a', never, null]), 'a', 500)
    const [, ready] = letter.possible(5, 1_600).stations
    if (ready !== undefined) letter.see(ready, 8)
    expect([keysAt(letter, 7, 1_600), keysAt(letter, 8, 1_600)]).toEqual([['hidden in a', 'a'], ['a']])
  })

  it('may be gone, and need not be, where its queue was emptied when it may have been there', () => {
    const letter = hiddenLetterIn(queues(['a', never, null]), 'a', 500)
    letter.place.mayBePurged = true
    const { mayBeGone, mustBeGone } = letter.possible(9, 2_000)
    expect([mayBeGone, mustBeGone]).toEqual([true, false])
  })

  it('never comes back after a recovery has shown that it is gone', () => {
    const letter = letterIn(queues(['a', never, null]), 'a')
    letter.adopt(null, 5, 0)
    expect(letter.possible(1_000, 2_000)).toEqual({ stations: [], mayBeGone: true, mustBeGone: true })
  })
})
