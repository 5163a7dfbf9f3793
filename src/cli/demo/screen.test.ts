// The picture: what it says in each phase, and that it fits into every terminal.
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { demoState, sampleAt } from '../../../test/support/demo-state.ts'
import { columnsOf } from './paint.ts'
import { screen } from './screen.ts'
import type { DemoState, Followed } from './state.ts'

/** As it is read. */
function text(state: DemoState, columns = 79): string[] {
  return screen(state, columns).map((line) => stripVTControlCharacters(line).trimEnd())
}

function following(followed: Partial<Followed>): DemoState {
  const nothing: Followed = {
    name: 'photo-0117.png',
    storedMs: null,
    deliveredMs: null,
    progress: 0,
    endedMs: null,
    end: null,
  }
  return demoState({ callbacks: { ...demoState().callbacks, followed: { ...nothing, ...followed } } })
}

describe('screen', () => {
  it('shows each pattern in words and numbers', () => {
    const lines = text(demoState())
    expect(lines[0]).toMatch(/^leveret demo {2}memory: +4\.0 of 10 s$/)
    expect(lines[1]).toBe('━'.repeat(32) + '─'.repeat(47))
    const all = lines.join('\n')
    for (const line of [
      'queue      4 workers resize photos, 20 to 60 ms each',
      'a rush: more comes than they manage',
      '210 done · 12 tried again · 2 dead letters',
      'callbacks  the sender is told how each ended: 212',
      'events     told to everybody who listens: 212',
      '  gallery  demo.photo.resized  210 heard   photo-0210.png resized',
      '  audit    demo.photo.*        212 heard   photo-0117.png failed',
      'calls      6 answered in 5 ms on average',
      '  what do 20 prints cost? › 3.80 € 4 ms',
      'numbers    83 in line ÷ 98/s: the next one waits 847 ms',
    ]) {
      expect(all).toContain(line)
    }
    expect(lines.find((line) => line.startsWith('  length'))).toMatch(/^ {2}length {3}▁+▂+█ +88$/)
    expect(lines.find((line) => line.startsWith('  send'))).toMatch(/ 150\/s$/)
    expect(lines.find((line) => line.startsWith('  process'))).toMatch(/ 98\/s$/)
    expect(lines.find((line) => line.startsWith('  wait'))).toMatch(/ 412 ms$/)
  })

  it('has no line that is wider than the terminal, however narrow, and no more on a wide one than can be read', () => {
    const state = following({ storedMs: 1, deliveredMs: 812, endedMs: 1_900, end: { isGood: true, text: '48 kB' } })
    for (const columns of [1, 10, 34, 59, 79, 100]) {
      for (const line of text({ ...state, where: `./${'long/'.repeat(40)}` }, columns)) {
        expect(columnsOf(line)).toBeLessThanOrEqual(columns)
      }
    }
    expect(screen(state, 300)).toEqual(screen(state, 100))
  })

  it('has as many lines in each state, so that nothing jumps, and no more than a usual terminal', () => {
    const early = demoState({
      elapsedMs: 0,
      history: [],
      calls: { answered: 0, totalMs: 0, last: null },
    })
    expect(screen(early, 79)).toHaveLength(screen(demoState(), 79).length)
    expect(screen(early, 79).length).toBeLessThanOrEqual(24)
  })

  it('needs 60 columns to say all that it has to say', () => {
    expect(text(following({ storedMs: 1, deliveredMs: 812, progress: 0.5 }), 59).join('\n')).not.toContain('…')
  })

  it('says what the load does, and what that means for the line', () => {
    const words = (elapsedMs: number, ready: number): string =>
      (text(demoState({ elapsedMs, history: [sampleAt(elapsedMs, { ready, processingRate: 10 })] }))[4] ?? '').trim()
    expect(words(1_000, 0)).toBe('calm: nobody waits')
    expect(words(1_000, 50)).toBe('calm: what was left is done first')
    expect(words(3_000, 0)).toBe('a rush: more comes than they manage')
    expect(words(6_000, 50)).toBe('calm again: the line shrinks')
    expect(words(6_000, 0)).toBe('calm again')
    expect(words(9_000, 0)).toBe('nothing more is sent: the rest is done')
  })

  it('follows one message through what its sender is told', () => {
    const line = (followed: Partial<Followed>): string => text(following(followed))[12] ?? ''
    expect(line({})).toBe('  photo-0117.png')
    expect(line({ storedMs: 0 })).toBe('  photo-0117.png › stored')
    expect(line({ storedMs: 0, deliveredMs: 812 })).toBe('  photo-0117.png › stored › delivered 812 ms')
    expect(line({ storedMs: 0, deliveredMs: 812, progress: 0.5 })).toContain('delivered 812 ms › 50 %')
    const good = { endedMs: 1_900, end: { isGood: true, text: '48 kB' } }
    expect(line({ storedMs: 0, deliveredMs: 812, progress: 0.5, ...good })).toContain('› processed 1.9 s: 48 kB')
    const bad = { endedMs: 1_900, end: { isGood: false, text: 'it is corrupt' } }
    expect(line({ storedMs: 0, ...bad })).toBe('  photo-0117.png › stored › dead-lettered 1.9 s: it is corrupt')
  })

  it('foretells no wait where nobody waits', () => {
    const last = text(demoState({ history: [sampleAt(0, { ready: 3, processingRate: 40 })] })).at(-1)
    expect(last).toBe('numbers    the next one waits for nobody')
  })
})
