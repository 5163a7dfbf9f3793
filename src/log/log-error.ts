/** What can go wrong with a folder, told so that a person knows what to do next. `code` is stable, the text is not. */

export type LogErrorCode =
  | 'E_FOLDER_IN_USE'
  | 'E_NETWORK_FOLDER'
  | 'E_STORAGE_FAILED'
  | 'E_STORAGE_CORRUPT'
  | 'E_FORMAT_UNSUPPORTED'

export interface LogErrorFields {
  pid?: number
  host?: string
  addresses?: readonly string[]
  file?: string
  offset?: number
  detail?: string
  cause?: unknown
}

export class LogError extends Error {
  override readonly name: string = 'LogError'
  readonly code: LogErrorCode
  /** E_FOLDER_IN_USE: who has the folder, as far as its LOCK file tells. */
  readonly pid: number | null
  readonly host: string | null
  readonly addresses: readonly string[]
  /** E_STORAGE_CORRUPT: where. */
  readonly file: string | null
  readonly offset: number | null
  readonly detail: string | null

  constructor(code: LogErrorCode, message: string, fields: LogErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = code
    this.pid = fields.pid ?? null
    this.host = fields.host ?? null
    this.addresses = fields.addresses ?? []
    this.file = fields.file ?? null
    this.offset = fields.offset ?? null
    this.detail = fields.detail ?? null
  }
}

export function folderInUse(directory: string, pid: number, host: string, addresses: readonly string[]): LogError {
  const owner = pid > 0 ? `process ${pid}${host === '' ? '' : ` on ${host}`}` : 'another process'
  const where =
    addresses.length > 0 ? `, which serves it at ${addresses.join(', ')}: connect there` : ': close it there'
  return new LogError(
    'E_FOLDER_IN_USE',
    `${directory} is in use by ${owner}${where}. ` +
      `If that process is not a Leveret, delete ${directory}/LOCK and try again.`,
    { pid, host, addresses },
  )
}

export function storageFailed(directory: string, what: string, cause: unknown): LogError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const text = `${directory}: ${what} (${reason}). ${adviceOn(cause)}`
  return new LogError('E_STORAGE_FAILED', text, { detail: what, cause })
}

function adviceOn(cause: unknown): string {
  switch ((cause as { code?: unknown } | null)?.code) {
    case 'ENOTDIR':
    case 'EEXIST':
      return 'A part of that path is there and no folder: give another one, or move it away.'
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'This user may not write there: change who owns the folder, or give another one.'
    case 'ENAMETOOLONG':
      return 'Give a shorter path.'
    default:
      return (
        'What was not confirmed has an unknown outcome. ' +
        'Check the disk and its free space, then open the folder again: opening finds out what is there.'
      )
  }
}

export function storageCorrupt(file: string, offset: number, detail: string): LogError {
  return new LogError(
    'E_STORAGE_CORRUPT',
    `${file} is damaged at byte ${offset}: ${detail}. Confirmed data is affected, so the folder was not opened and not ` +
      'changed. Copy the folder, then restore a backup, or open with salvage to keep all that is readable.',
    { file, offset, detail },
  )
}

/** `needed`: the first version that can read it, if that is known. */
export function formatUnsupported(file: string, written: string, detail: string, needed = ''): LogError {
  const which = needed === '' ? 'the version that wrote it' : `Leveret ${needed}`
  return new LogError(
    'E_FORMAT_UNSUPPORTED',
    `${file} was written by ${written}, which this version cannot read: ${detail}. Use ${which}, or newer.`,
    { file, detail },
  )
}
