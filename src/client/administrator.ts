/** What administrators do through a bus: in process always, over `amqp://` where a Leveret answers and the user may. */
import { readAdminCommand } from '../model/admin-command.ts'
import type { AdminCommand, JsonObject } from '../model/administration.ts'
import type { Reply } from '../model/command.ts'
import { fieldsBody } from '../model/command-fields.ts'
import { controlPrefix } from '../model/control-exchange.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import type { Control } from './control.ts'
import { asError } from './headers.ts'
import { checkOptionNames, isRecord, shown } from './names.ts'

export interface ImportOptions {
  /** For definitions of one virtual host: the one that they are for. */
  readonly virtualHost?: string
}

export interface ExportOptions {
  /** Only what is in that virtual host, to be imported into any. */
  readonly virtualHost?: string
  /** With the hashes of passwords. Default false. */
  readonly withHashes?: boolean
}

export class Administrator {
  private readonly control: Control

  constructor(control: Control) {
    this.control = control
  }

  /** Rejects with E_BAD_OPTION, with the BrokerError if it is refused, E_UNSUPPORTED if the broker is no Leveret. */
  async run(command: AdminCommand): Promise<Reply> {
    const checked = readCommand(command)
    try {
      return await this.control.execute(checked)
    } catch (error) {
      if (!(error instanceof BrokerError) || error.code !== 'NOT_IMPLEMENTED') throw error
      throw new LeveretError('E_UNSUPPORTED', `the broker does not understand '${command.type}': ${error.text}`, error)
    }
  }

  async importDefinitions(definitions: object, options: ImportOptions): Promise<void> {
    checkOptionNames('importDefinitions', options, ['virtualHost'])
    if (!isRecord(definitions)) {
      const text = `definitions: ${shown(definitions)} is given where an object is wanted: parse the file; nothing was imported`
      throw new LeveretError('E_BAD_DEFINITIONS', text)
    }
    const virtualHost = options.virtualHost ?? null
    try {
      await this.run({ type: 'leveret.import-definitions', virtualHost, definitions: definitions as JsonObject })
    } catch (error) {
      if (!(error instanceof BrokerError) || !error.text.startsWith('definitions: ')) throw error
      const text = `${error.text.slice('definitions: '.length)}; nothing was imported`
      throw new LeveretError('E_BAD_DEFINITIONS', text, error)
    }
  }

  async exportDefinitions(options: ExportOptions): Promise<JsonObject> {
    checkOptionNames('exportDefinitions', options, ['virtualHost', 'withHashes'])
    const { virtualHost = null, withHashes = false } = options
    const reply = await this.run({ type: 'leveret.export-definitions', virtualHost, withHashes })
    return reply.type === 'leveret.definitions' ? reply.definitions : {}
  }
}

/** As it would come over a connection: in process nobody else looks at it. Throws E_BAD_OPTION, PRECONDITION_FAILED. */
function readCommand(command: AdminCommand): AdminCommand {
  const given: unknown = isRecord(command) ? command['type'] : undefined
  const type = typeof given === 'string' && given.startsWith(controlPrefix) ? given : ''
  let read: AdminCommand | null
  try {
    read = type === '' ? null : readAdminCommand(type.slice(controlPrefix.length), fieldsBody(command))
  } catch (error) {
    if (error instanceof BrokerError) throw error
    const text = `administer: '${type}' cannot be written as JSON: ${asError(error).message}`
    throw new LeveretError('E_BAD_OPTION', text, error)
  }
  if (read !== null) return read
  const what = isRecord(command) ? `the type ${shown(given)}` : shown(command)
  const text = `administer: ${what} is no command: give one such as { type: 'leveret.delete-user', user: 'ops' }`
  throw new LeveretError('E_BAD_OPTION', text)
}
