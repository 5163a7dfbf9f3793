// Values over time as blocks: what comes later stands further right, and no peak is lost.
import { describe, expect, it } from 'vitest'
import { bar, sparkline } from './sparkline.ts'

const at = (atMs: number, value: number) => ({ atMs, value })

describe('sparkline', () => {
  it('has a column for a span of time, with the highest value in it', () => {
    const points = [at(0, 1), at(10, 8), at(100, 4), at(200, 0), at(399, 8)]
    expect(sparkline(points, 400, 4, 8)).toBe('█▅▁█')
  })

  it('leaves empty what is still to come, and goes on where nobody looked', () => {
    expect(sparkline([at(0, 8), at(300, 4)], 800, 8, 8)).toBe('███▅    ')
    expect(sparkline([], 800, 3, 8)).toBe('   ')
  })

  it('shows that something is there, however little, and what is beyond the end in the last column', () => {
    expect(sparkline([at(0, 0.001), at(900, 8)], 800, 2, 8)).toBe('▂█')
    expect(sparkline([at(0, 9)], 800, 1, 8)).toBe('█')
    expect(sparkline([at(0, 0)], 800, 1, 0)).toBe('▁')
    expect(sparkline([at(0, 1)], 800, -3, 1)).toBe('')
  })
})

describe('bar', () => {
  it('is filled by its share, never by more or less than all', () => {
    expect(bar(0.25, 8)).toEqual({ filled: '━━', rest: '──────' })
    expect(bar(7, 2)).toEqual({ filled: '━━', rest: '' })
    expect(bar(-1, 2)).toEqual({ filled: '', rest: '──' })
    expect(bar(0.5, -1)).toEqual({ filled: '', rest: '' })
  })
})
