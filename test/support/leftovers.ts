// What a test leaves behind when it fails half-way or runs out of time – processes, folders – goes at the end of its file.
import { afterAll } from 'vitest'

const leftovers = new Set<() => void>()

function endAll(): void {
  // The last first: a process goes before the folder that was made for it.
  for (const end of [...leftovers].reverse()) end()
  leftovers.clear()
}

// Registered by whoever imports this, before the file's own hooks, and so run after them.
afterAll(endAll)
process.on('exit', endAll)

/** Calls it at the end, unless the returned function is called before. It may not wait for anything. */
export function atTheEnd(end: () => void): () => void {
  leftovers.add(end)
  return () => leftovers.delete(end)
}
