/** How the command line says that something went wrong: one line, and a status that is not 0. */
import { CommanderError } from 'commander'

export interface Reporting {
  readonly json: boolean
  readonly debug: boolean
}

/** Prints the error and returns the exit status: 2 for what was typed, 1 for what happened. */
export function fail(error: unknown, reporting: Reporting): number {
  const { code, text } = describe(error)
  const line = reporting.json ? JSON.stringify({ error: code, message: text }) : `leveret: ${code}: ${text}`
  process.stderr.write(`${line}\n`)
  if (reporting.debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`)
  return code === 'E_BAD_OPTION' ? 2 : 1
}

function describe(error: unknown): { code: string; text: string } {
  if (error instanceof CommanderError) {
    const text = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
    return { code: 'E_BAD_OPTION', text: `${text} (leveret --help shows what there is)` }
  }
  if (!(error instanceof Error)) return { code: 'E_INTERNAL', text: String(error) }
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string') return { code: 'E_INTERNAL', text: `${error.message} (--debug shows where)` }
  // Both families of errors begin their message with their code.
  const text = error.message.replace(new RegExp(`^${code}(:| -) `), '').replaceAll('\n', ' ')
  return { code, text }
}
