/** Columns for people: text to the left, numbers to the right, what is not known as a dash. */

export type Cell = string | number | null

export function table(titles: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (cell === null ? '-' : printable(String(cell)))))
  const widths = titles.map((title, at) => Math.max(title.length, ...texts.map((row) => (row[at] as string).length)))
  const lines = [titles, ...texts].map((row) =>
    row
      .map((text, at) => (at === 0 ? text.padEnd(widths[at] as number) : text.padStart(widths[at] as number)))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** A queue's name may hold anything; a terminal must not obey it. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\u{fffd}')
}
