// What is said at the end adds up, fits, and names commands that exist.
import { describe, expect, it } from 'vitest'
import { demoState, sampleAt } from '../../../test/support/demo-state.ts'
import type { DemoState } from './state.ts'
import { summarize, summaryLines } from './summary.ts'

const whole = demoState({
  elapsedMs: 10_000,
  queue: { name: 'demo.photos', found: 0, sent: 400, processed: 396, retried: 20, deadLettered: 4 },
  history: [sampleAt(0), sampleAt(5_000, { ready: 36, unacked: 4 }), sampleAt(10_000)],
  callbacks: { processed: 396, deadLettered: 4, totalMs: 200_000, followed: null },
})

function say(state: DemoState, columns = 80): string {
  return summaryLines(summarize(state), columns).join('\n')
}

describe('summarize', () => {
  it("has L counted over time, and L by Little's law from what was sent and how long it took", () => {
    expect(summarize(whole)).toMatchObject({
      where: 'memory:',
      seconds: 10,
      stopped: false,
      queue: { sent: 400, processed: 396, deadLettered: 4, left: 0, longest: 40 },
      // 40 of them for one half of the time, none for the other; 400 in 10 s, each there for half a second.
      numbers: { lengthCounted: 20, arrivalRate: 40, timeInSystemMs: 500, lengthByLittle: 20 },
    })
  })

  it('says what was left, and is all zeros where nothing has happened', () => {
    expect(summarize(demoState())).toMatchObject({ stopped: true, queue: { left: 88, longest: 88 } })
    const nothing = demoState({
      elapsedMs: 0,
      history: [],
      queue: { name: 'demo.photos', found: 0, sent: 0, processed: 0, retried: 0, deadLettered: 0 },
      callbacks: { processed: 0, deadLettered: 0, totalMs: 0, followed: null },
      calls: { answered: 0, totalMs: 0, last: null },
    })
    const numbers = Object.values(summarize(nothing).numbers)
    expect(numbers).toEqual(numbers.map(() => 0))
  })
})

describe('summaryLines', () => {
  it('tells what there was to see', () => {
    const text = say(whole)
    for (const line of [
      'What you saw, in 10 s on memory:',
      '  queue      400 sent, 396 processed by 4 workers, 4 dead letters',
      '             20 failed attempts were tried again; the longest line was 40',
      '  callbacks  the sender was told: 396 processed, 4 dead letters',
      '             audit heard 212 (demo.photo.*)',
      '  calls      6 answered, in 5 ms on average',
      "             Little's law, L = λ W: 40/s × 500 ms = 20 in the system on average;",
    ]) {
      expect(text).toContain(`${line}\n`)
    }
  })

  it('says of a law about whole stays nothing where they are none', () => {
    expect(say(demoState({ elapsedMs: 4_000 }))).not.toContain('Little')
    expect(say({ ...whole, queue: { ...whole.queue, found: 3 } })).not.toContain('Little')
  })

  it('says what becomes of the rest', () => {
    expect(say(demoState())).toContain('88 not done, and gone with the memory')
    expect(say(demoState({ where: './demo' }))).toContain('88 not done: they are stored, so start it again')
    expect(say({ ...whole, where: './demo', queue: { ...whole.queue, found: 1 } })).toContain(
      '1 message from the last time came first',
    )
  })

  it('fits into a narrow terminal, and breaks no command', () => {
    for (const columns of [60, 40]) {
      const lines = summaryLines(summarize({ ...whole, where: './demo' }), columns)
      const command = '  leveret inspect ./demo --queue demo.photos.dead'
      expect(lines).toContain(command)
      expect(lines.filter((line) => line.length > columns && line !== command)).toEqual([])
    }
  })

  it('has 80 columns where nothing says how many there are, or a terminal says 0', () => {
    const eighty = summaryLines(summarize(whole), 80)
    expect(summaryLines(summarize(whole), 0)).toEqual(eighty)
    expect(summaryLines(summarize(whole), undefined)).toEqual(eighty)
  })

  it('shows dead letters where there are any', () => {
    const none = { ...whole, where: './demo', queue: { ...whole.queue, deadLettered: 0 } }
    expect(say(none)).not.toContain('demo.photos.dead')
  })
})
