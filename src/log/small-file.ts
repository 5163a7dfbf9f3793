/** Files of a few hundred bytes that are read whole and replaced whole. */
import type { Disk } from '../platform/disk.ts'

const smallFileBytesMax = 64 * 1024

/** The text of the file, or null if it is not there. */
export async function readSmallFile(disk: Disk, path: string): Promise<string | null> {
  try {
    const file = await disk.open(path, 'read')
    try {
      const buffer = Buffer.alloc(Math.min(await file.size(), smallFileBytesMax))
      const bytes = await file.read(buffer, 0, buffer.length, 0)
      return buffer.toString('utf8', 0, bytes)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Writes `path` anew, so that a crash leaves the old text or the new one. The caller syncs the directory. */
export async function replaceSmallFile(disk: Disk, path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  await removeIfThere(disk, temporary)
  await createSmallFile(disk, temporary, text)
  await disk.rename(temporary, path)
}

/** Writes a file that must not be there yet (EEXIST). */
export async function createSmallFile(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, 'create')
  try {
    const bytes = Buffer.from(text)
    await file.write(bytes, 0, bytes.length, 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path)
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT')) throw error
  }
}

export function isErrorCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** An error of the operating system, as opposed to one of ours. */
export function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && 'syscall' in error
}
