// What reaches the output: pictures over each other on a terminal, plain lines elsewhere.
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { demoState } from '../../../test/support/demo-state.ts'
import { columnsOf } from './paint.ts'
import { LineView, LiveView } from './views.ts'

class Output {
  readonly texts: string[] = []
  columns: number
  rows: number

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
  }

  write(text: string): void {
    this.texts.push(text)
  }
}

const escape = '\u001b'

describe('LiveView', () => {
  it('takes the other screen and the cursor, and gives both back once', () => {
    const output = new Output(80, 24)
    new LiveView(output).close()
    expect(output.texts).toEqual([])
    const view = new LiveView(output)
    view.show(demoState())
    view.show(demoState())
    view.close()
    view.close()
    view.show(demoState())
    expect(output.texts[0]).toBe(`${escape}[?1049h${escape}[?25l`)
    expect(output.texts.at(-1)).toBe(`${escape}[?25h${escape}[?1049l`)
    expect(output.texts).toHaveLength(4)
  })

  it('draws each picture in one write, over the one before, in the rows and columns that there are now', () => {
    const output = new Output(60, 8)
    const view = new LiveView(output)
    view.show(demoState())
    output.columns = 30
    output.rows = 5
    view.show(demoState())
    for (const [at, columns, rows] of [
      [1, 60, 8],
      [2, 30, 5],
    ] as const) {
      const picture = output.texts[at] ?? ''
      expect(picture.startsWith(`${escape}[H`)).toBe(true)
      expect(picture.endsWith(`${escape}[K${escape}[J`)).toBe(true)
      const lines = picture.slice(3).split('\r\n')
      expect(lines).toHaveLength(rows)
      for (const line of lines) expect(columnsOf(stripVTControlCharacters(line))).toBeLessThan(columns)
    }
  })

  it('takes a terminal that says it has no columns and no rows for one of 80 by 24', () => {
    const pictures = [new Output(0, 0), new Output(80, 24)].map((output) => {
      const view = new LiveView(output)
      view.show(demoState())
      view.close()
      return output.texts
    })
    expect(pictures[0]).toEqual(pictures[1])
  })
})

describe('LineView', () => {
  it('prints a line a second, without control sequences', () => {
    const output = new Output(80, 24)
    const view = new LineView(output)
    for (const elapsedMs of [100, 999, 1_000, 1_100, 1_999, 2_000, 4_500]) view.show(demoState({ elapsedMs }))
    view.close()
    expect(output.texts.map((text) => text.slice(0, 5))).toEqual(['  1 s', '  2 s', '  4 s'])
    expect(output.texts[2]).toBe(
      '  4 s rush         length 88  send 150/s process 98/s  wait 412 ms events 212 calls 6\n',
    )
  })
})
