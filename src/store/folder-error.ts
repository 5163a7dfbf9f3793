/** What can be wrong with a data folder from the view of a tool that works on it. `code` is stable, the text is not. */
import { isSystemError } from '../log/small-file.ts'

export type FolderErrorCode =
  /** There is no folder, or it is no Leveret's. */
  | 'E_NO_FOLDER'
  /** Something would have been written over. */
  | 'E_NOT_EMPTY'
  /** The folder changes faster than it can be looked at. */
  | 'E_FOLDER_CHANGING'
  | 'E_STORAGE_CORRUPT'
  | 'E_STORAGE_FAILED'
  | 'E_BAD_OPTION'
  | 'E_UNSUPPORTED'
  /** It would change something, and nobody said that it may. */
  | 'E_NEEDS_YES'

export class FolderError extends Error {
  override readonly name: string = 'FolderError'
  readonly code: FolderErrorCode

  /** `text` names the thing, says what is wrong and what to do next. */
  constructor(code: FolderErrorCode, text: string, cause?: unknown) {
    super(`${code}: ${text}`, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** An error of the operating system as one of ours; any other as it is. */
export function folderFailure(what: string, error: unknown): unknown {
  if (!isSystemError(error)) return error
  return new FolderError(
    'E_STORAGE_FAILED',
    `${what}: ${error.message}. Check the disk, its space and who may use it.`,
    error,
  )
}
