// Lines come out the same however the stream is cut into chunks.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LineSplitter } from './line-splitter.ts'

function split(chunks: readonly Buffer[], bytesMax = 1_000): Buffer[] {
  const splitter = new LineSplitter(bytesMax)
  const lines: Buffer[] = chunks.flatMap((chunk) => [...splitter.push(chunk)].map((line) => Buffer.from(line)))
  const last = splitter.end()
  if (last !== null) lines.push(last)
  expect(splitter.count).toBe(lines.length)
  return lines
}

describe('LineSplitter', () => {
  it('cuts at line feeds, wherever the chunks end', () => {
    const bytes = fc.uint8Array({ maxLength: 20 }).map((array): Buffer => Buffer.from(array.map((byte) => byte % 12)))
    fc.assert(
      fc.property(fc.array(bytes), (chunks: Buffer[]) => {
        const whole = Buffer.concat(chunks)
        const lines = whole.toString('latin1').split('\n')
        // The text behind the last line feed is a line only if there is some.
        if (lines.at(-1) === '') lines.pop()
        expect(split(chunks).map((line) => line.toString('latin1'))).toEqual(lines)
      }),
    )
  })

  it('keeps every byte, and empty lines', () => {
    expect(split([Buffer.from('a\r\n\n\0\xff', 'latin1'), Buffer.from('\n')])).toEqual([
      Buffer.from('a\r'),
      Buffer.alloc(0),
      Buffer.from('\0\xff', 'latin1'),
    ])
    expect(split([])).toEqual([])
  })

  it('refuses a line that is too long, and says which', () => {
    const bytes = Buffer.from(`${'a'.repeat(10)}\n${'b'.repeat(11)}`)
    expect(() => split([bytes], 10)).toThrow('E_BAD_DATA: line 2 has more than 10 bytes')
    expect(split([bytes], 11)).toHaveLength(2)
  })
})
