/** Commands for which something may have to be loaded first: an engine for patterns, or for times. Then they are run in one go. */
import type { AdminCommand } from '../model/administration.ts'
import type { Reply } from '../model/command.ts'
import { isScheduleCommand, type ScheduleCommand } from '../model/schedule-command.ts'
import type { AdminCommands } from './admin-commands.ts'
import { isAdministrative } from './authorize.ts'
import type { Grants } from './grants.ts'
import type { Schedules } from './schedules.ts'
import type { VirtualHost } from './virtual-host.ts'

export type DeferrableCommand = AdminCommand | ScheduleCommand

export class DeferrableCommands {
  private readonly administrators: AdminCommands
  private readonly schedules: Schedules

  constructor(administrators: AdminCommands, schedules: Schedules) {
    this.administrators = administrators
    this.schedules = schedules
  }

  /** Null: it can be run now. */
  ready(command: DeferrableCommand): Promise<void> | null {
    return isScheduleCommand(command) ? this.schedules.ready(command) : this.administrators.ready(command)
  }

  /** Throws a BrokerError. Nothing waits: what it changes is in the open frame. */
  run(host: VirtualHost, grants: Grants | null, command: DeferrableCommand): Reply {
    if (!isScheduleCommand(command)) return this.administrators.run(command)
    return { type: 'leveret.schedules', schedules: this.schedules.run(host, grants, command) }
  }
}

export function isDeferrable<Other extends { readonly type: string }>(
  command: Other | DeferrableCommand,
): command is DeferrableCommand {
  return isAdministrative(command) || isScheduleCommand(command)
}
