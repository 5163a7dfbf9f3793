// Folders that go when the test goes, whatever happened in between.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atTheEnd } from './leftovers.ts'

/** A new empty folder. */
export function temporaryFolder(purpose: string): string {
  const folder = mkdtempSync(join(tmpdir(), `leveret-${purpose}-`))
  atTheEnd(() => removeFolder(folder))
  return folder
}

export function removeFolder(folder: string): void {
  // A process that was just killed may still be closing what it had open there.
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
