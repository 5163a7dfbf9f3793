/**
 * A terminal that shows one picture after the other, on its other screen, so that what was there before comes back at the end
 * (ECMA-48, and the private modes 25 and 1049 of xterm).
 */

/** What a terminal is to us; `process.stdout` is one. */
export interface Screen {
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

const enter = '\u001b[?1049h\u001b[?25l'
const leave = '\u001b[?25h\u001b[?1049l'
const home = '\u001b[H'
const eraseLine = '\u001b[K'
const eraseBelow = '\u001b[J'

/** How many columns there are, or rows: a terminal whose size nobody has set says 0, and what is no terminal nothing. */
export function sizeOr(otherwise: number, size: number | undefined): number {
  return size === undefined || size === 0 ? otherwise : size
}

export class Terminal {
  private readonly output: Screen
  private isOpen = false
  private isClosed = false

  constructor(output: Screen) {
    this.output = output
  }

  /** What a line may have: the last column is left free, for erasing behind it would take its letter away. */
  get columns(): number {
    return Math.max(1, sizeOr(80, this.output.columns) - 1)
  }

  /** Takes the screen; once it was given back it is not taken again. */
  open(): void {
    if (this.isOpen || this.isClosed) return
    this.isOpen = true
    this.output.write(enter)
  }

  /** Draws over the picture before; lines that there are no rows for are left out. */
  draw(lines: readonly string[]): void {
    if (!this.isOpen) return
    const shown = lines.slice(0, sizeOr(24, this.output.rows))
    // One write, so that nobody sees half a picture; no line feed at the end, which would scroll.
    this.output.write(`${home}${shown.map((line) => `${line}${eraseLine}`).join('\r\n')}${eraseBelow}`)
  }

  /** The cursor is back, and the screen as it was; a second call does nothing. */
  close(): void {
    this.isClosed = true
    if (!this.isOpen) return
    this.isOpen = false
    this.output.write(leave)
  }
}
