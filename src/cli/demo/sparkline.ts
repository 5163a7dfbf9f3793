/** A course of values as a line of blocks, one column for a span of time: what is still to come is left empty. */

export interface Point {
  readonly atMs: number
  readonly value: number
}

const blocks = '▁▂▃▄▅▆▇█'

/**
 * `width` columns for `durationMs`; a column shows the highest value in it, so that no peak is lost. `max` is what fills a
 * column; at least one that is not 0 is seen as more than that.
 */
export function sparkline(points: readonly Point[], durationMs: number, width: number, max: number): string {
  const columns = highest(points, durationMs, width)
  return columns.map((value) => (value === null ? ' ' : blockFor(value, max))).join('')
}

/** Null where nothing is known: a gap between two points has the value of the one before. */
function highest(points: readonly Point[], durationMs: number, width: number): (number | null)[] {
  const columns = Array.from<number | null>({ length: Math.max(0, width) }).fill(null)
  for (const { atMs, value } of points) {
    const at = Math.min(columns.length - 1, Math.floor((atMs / durationMs) * columns.length))
    if (at >= 0) columns[at] = Math.max(columns[at] ?? 0, value)
  }
  let last = columns.length - 1
  while (last >= 0 && columns[last] === null) last--
  for (let at = 1; at < last; at++) columns[at] ??= columns[at - 1] ?? null
  return columns
}

function blockFor(value: number, max: number): string {
  if (value <= 0 || max <= 0) return blocks[0] as string
  const step = Math.ceil((value / max) * (blocks.length - 1))
  return blocks[Math.min(blocks.length - 1, Math.max(1, step))] as string
}

/** A bar of `width` columns of which `share`, from 0 to 1, is filled. */
export function bar(share: number, width: number): { readonly filled: string; readonly rest: string } {
  const columns = Math.max(0, width)
  const filled = Math.round(Math.min(1, Math.max(0, share)) * columns)
  return { filled: '━'.repeat(filled), rest: '─'.repeat(columns - filled) }
}
