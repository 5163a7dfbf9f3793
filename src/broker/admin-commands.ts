/** The administrative commands, as channels and `leveret.control` give them: some need a pattern engine first. */
import type { AdminCommand } from '../model/administration.ts'
import type { Reply } from '../model/command.ts'
import type { Administration } from './administration.ts'
import { exportDefinitions } from './definitions-export.ts'
import { DefinitionsImport, definedPatterns } from './definitions-import.ts'

export class AdminCommands {
  private readonly administration: Administration
  private readonly hashPassword: (password: string) => string

  /** `hashPassword` hashes as RabbitMQ does, with SHA-256. */
  constructor(administration: Administration, hashPassword: (password: string) => string) {
    this.administration = administration
    this.hashPassword = hashPassword
  }

  /** Null: it can be run now. */
  ready(command: AdminCommand): Promise<void> | null {
    return this.administration.patterns.ready(patternsOf(command))
  }

  /** Throws a BrokerError, and has done nothing. Nothing waits: what it changes is in the open frame. */
  run(command: AdminCommand): Reply {
    const { administration } = this
    switch (command.type) {
      case 'leveret.import-definitions':
        new DefinitionsImport(administration, command.virtualHost, this.hashPassword).run(command.definitions)
        return { type: 'ok' }
      case 'leveret.export-definitions': {
        const definitions = exportDefinitions(administration.state, command.virtualHost, command.withHashes)
        return { type: 'leveret.definitions', definitions }
      }
      default:
        return administration.run(command)
    }
  }
}

function patternsOf(command: AdminCommand): Iterable<string> {
  switch (command.type) {
    case 'leveret.put-permission':
      return [command.configure, command.write, command.read]
    case 'leveret.put-topic-permission':
      return [command.write, command.read]
    case 'leveret.put-policy':
      return [command.pattern]
    case 'leveret.import-definitions':
      return definedPatterns(command.definitions)
    default:
      return []
  }
}
