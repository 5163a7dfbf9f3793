/** What administrators do through a bus: in process always, over `amqp://` where a Leveret answers and the user may. */
import type { AdminCommand, JsonObject } from '../model/administration.ts'
import type { Reply } from '../model/command.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import type { Control } from './control.ts'
import { checkOptionNames } from './names.ts'

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

  /** Rejects with the BrokerError if it is refused, E_UNSUPPORTED if the broker is no Leveret. */
  async run(command: AdminCommand): Promise<Reply> {
    try {
      return await this.control.execute(command)
    } catch (error) {
      if (!(error instanceof BrokerError) || error.code !== 'NOT_IMPLEMENTED') throw error
      throw new LeveretError('E_UNSUPPORTED', `the broker does not understand '${command.type}': ${error.text}`, error)
    }
  }

  async importDefinitions(definitions: object, options: ImportOptions): Promise<void> {
    checkOptionNames('importDefinitions', options, ['virtualHost'])
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
