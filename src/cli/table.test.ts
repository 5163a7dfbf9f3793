// Columns line up, and names cannot speak to the terminal.
import { describe, expect, it } from 'vitest'
import { table } from './table.ts'

describe('table', () => {
  it('sets text to the left and numbers to the right', () => {
    const rows = [
      ['orders', 12, null],
      ['x', 1_000_000, 3],
    ] as const
    expect(table(['queue', 'ready', 'bytes'], rows)).toBe(
      ['queue     ready  bytes', 'orders       12      -', 'x       1000000      3', ''].join('\n'),
    )
  })

  it('shows control characters as what they are not', () => {
    expect(table(['queue'], [['\u001b[2Jgone\n']])).toBe('queue\n\u{fffd}[2Jgone\u{fffd}\n')
  })
})
