// A line is never wider than the terminal, whatever its colours.
import { describe, expect, it } from 'vitest'
import { paint, piece, widthOf } from './paint.ts'

describe('paint', () => {
  it('puts colours around the pieces and nothing around plain text', () => {
    expect(paint([piece('a', 'red'), piece('b')], 10)).toBe('\u001b[31ma\u001b[0mb')
  })

  it('cuts what does not fit, says so, and counts no control sequence', () => {
    const pieces = [piece('abc', 'green'), piece('def')]
    expect(widthOf(pieces)).toBe(6)
    expect(paint(pieces, 6)).toBe('\u001b[32mabc\u001b[0mdef')
    expect(paint(pieces, 5)).toBe('\u001b[32mabc\u001b[0md…')
    expect(paint(pieces, 3)).toBe('\u001b[32mab\u001b[0m…')
    expect(paint(pieces, 1)).toBe('…')
    expect(paint(pieces, 0)).toBe('')
  })

  it('counts columns: one for a block or a letter, two for a Chinese letter', () => {
    expect(paint([piece('▁▂▃€é')], 5)).toBe('▁▂▃€é')
    expect(paint([piece('▁▂▃€é')], 4)).toBe('▁▂▃…')
    expect(widthOf([piece('./数据')])).toBe(6)
    expect(paint([piece('./数据')], 6)).toBe('./数据')
    expect(paint([piece('./数据')], 5)).toBe('./数…')
    expect(paint([piece('./数', 'red'), piece('据'), piece('!')], 4)).toBe('\u001b[31m./\u001b[0m…')
  })
})
