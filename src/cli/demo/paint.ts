/** Lines of coloured pieces that fit into so many columns. */

export type Colour = 'plain' | 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export interface Piece {
  readonly text: string
  readonly colour: Colour
}

/** Select Graphic Rendition of ECMA-48. */
const codes: Readonly<Record<Colour, string>> = {
  plain: '',
  bold: '\u001b[1m',
  dim: '\u001b[2m',
  red: '\u001b[31m',
  green: '\u001b[32m',
  yellow: '\u001b[33m',
  cyan: '\u001b[36m',
}
const reset = '\u001b[0m'

export function piece(text: string, colour: Colour = 'plain'): Piece {
  return { text, colour }
}

/** Of a terminal: Chinese, Japanese and Korean letters, as a folder's name may have them, take two columns. */
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u

export function columnsOf(text: string): number {
  let columns = 0
  for (const character of text) columns += wide.test(character) ? 2 : 1
  return columns
}

export function widthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { text }) => sum + columnsOf(text), 0)
}

/** The pieces as one line of at most `columns`, with an ellipsis where something had to go. */
export function paint(pieces: readonly Piece[], columns: number): string {
  const isCut = widthOf(pieces) > columns
  let left = isCut ? columns - 1 : columns
  let line = ''
  for (const { text, colour } of pieces) {
    const shown = start(text, left)
    // What follows a piece that was cut has no room either, however narrow it is.
    left = shown === text ? left - columnsOf(shown) : 0
    if (shown !== '') line += codes[colour] === '' ? shown : `${codes[colour]}${shown}${reset}`
  }
  return isCut && columns > 0 ? `${line}…` : line
}

/** As much of it as fits. */
function start(text: string, columns: number): string {
  let left = columns
  let shown = ''
  for (const character of text) {
    left -= columnsOf(character)
    if (left < 0) break
    shown += character
  }
  return shown
}
