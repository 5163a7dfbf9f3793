/** Gives a broker, or a folder that nobody uses, administrators' commands. */
import type { AdminCommand, Bus, JsonObject } from '../index.ts'
import { openTarget, targetOf } from './target.ts'

export async function administer(at: string, ...commands: readonly AdminCommand[]): Promise<void> {
  await withBus(at, async (bus) => {
    for (const command of commands) await bus.administer(command)
  })
}

/** The entries of one section of the definitions. */
export function listed(at: string, section: string): Promise<readonly JsonObject[]> {
  return withBus(at, async (bus) => (await bus.exportDefinitions())[section] as readonly JsonObject[])
}

async function withBus<Result>(at: string, use: (bus: Bus) => Promise<Result>): Promise<Result> {
  const bus = await openTarget(targetOf(at), () => {})
  try {
    return await use(bus)
  } finally {
    await bus.close()
  }
}

/** Says that it was done: people see it by the status alone. */
export function sayDone(isJson: boolean, what: object): void {
  if (isJson) process.stdout.write(`${JSON.stringify(what)}\n`)
}
