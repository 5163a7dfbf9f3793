/** Copies `source[start, end)` to `target[at …)`. Below about 48 bytes a loop is faster than the call into the runtime. */
export function copyRange(source: Buffer, start: number, end: number, target: Buffer, at: number): void {
  if (end - start > 48) {
    source.copy(target, at, start, end)
    return
  }
  let to = at
  for (let from = start; from < end; from++) target[to++] = source[from] as number
}
