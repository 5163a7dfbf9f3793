/**
 * Copies `source[start, end)` to `target[at …)`. Below about 56 bytes a loop is faster than the call into the runtime, which
 * takes 65 ns however few they are; four bytes at a time take two thirds of the loop's time (48 bytes: 53 ns instead of 77).
 */
export function copyRange(source: Buffer, start: number, end: number, target: Buffer, at: number): void {
  const length = end - start
  if (length > 56) {
    source.copy(target, at, start, end)
    return
  }
  let from = start
  let to = at
  for (const last = end - 3; from < last; from += 4) {
    target[to] = source[from] as number
    target[to + 1] = source[from + 1] as number
    target[to + 2] = source[from + 2] as number
    target[to + 3] = source[from + 3] as number
    to += 4
  }
  for (; from < end; from++) target[to++] = source[from] as number
}
