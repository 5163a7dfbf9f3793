/** What all subcommands have in common. */
import type { Command } from 'commander'
import { fail, type Reporting } from './fail.ts'

export const target = 'amqp:// URL of a served broker, or a data folder'
export const defaultUrl = 'amqp://127.0.0.1:5672'

/** What every subcommand exports: it resolves with the exit status. */
interface CommandModule<Options> {
  readonly run: (options: Options) => Promise<number>
}

export function common(command: Command): Command {
  return command.option('--json', 'print JSON, for programs', false).option('--debug', 'print stack traces', false)
}

/** Commander has checked names, not types; each subcommand reads its own options. */
export async function start<Options>(options: object, load: () => Promise<CommandModule<Options>>): Promise<void> {
  try {
    const { run } = await load()
    process.exitCode = await run(options as Options)
  } catch (error) {
    process.exitCode = fail(error, options as Reporting)
  }
}
