/** What whoever opens a folder decides about its storage. Elsewhere it is decided already, or there is nothing to decide. */
import { type DeliverAfter, type Durability, deliveryTimes, durabilityLevels } from '../model/durability.ts'
import { LeveretError } from '../model/errors.ts'
import type { BusUrl } from './bus-url.ts'
import { shown } from './names.ts'

export interface StorageOptions {
  /**
   * When a message counts as stored, for everybody who uses this folder while it is open (`file:` only):
   *
   * - `fsync` (default): it is on the disk, and survives a power cut
   * - `write`: the system has it, and it survives the end of the process
   * - `none`: at once
   *
   * With `write` and `none` the disk has it within a second, or 64 MiB; a power cut takes the newest messages, those of
   * that second at most, and none from between.
   */
  readonly durability?: Durability | undefined
  /**
   * `accept` (default): a persistent message is handed to a consumer at once. `sync`: only when it is on the disk, so that
   * nobody acts on a message that a power cut then takes; with `write` and `none` that is up to a second later.
   */
  readonly deliverAfter?: DeliverAfter | undefined
  /**
   * Opens a folder on a network file system (NFS, SMB, …) too, which is refused otherwise: nothing keeps another machine from
   * opening it at the same time, and both would damage it. Default false.
   */
  readonly networkFolder?: boolean | undefined
}

export interface StorageSettings {
  readonly durability: Durability
  readonly deliverAfter: DeliverAfter
  readonly networkFolder: boolean
}

/** Throws E_BAD_OPTION, also where a broker elsewhere, or a memory, makes them mean nothing. */
export function storageOptions(kind: BusUrl['kind'], options: StorageOptions): StorageSettings {
  for (const name of ['durability', 'deliverAfter', 'networkFolder'] as const) {
    if (kind === 'file' || options[name] === undefined) continue
    const why =
      kind === 'memory'
        ? 'memory: stores nothing that could be lost'
        : 'the broker at that address decides it (leveret serve has it as an option)'
    throw new LeveretError('E_BAD_OPTION', `connect: ${name} is for file: alone, ${why}: leave it out`)
  }
  const { durability = 'fsync', deliverAfter = 'accept', networkFolder = false } = options
  checkChoice('durability', durability, durabilityLevels)
  checkChoice('deliverAfter', deliverAfter, deliveryTimes)
  if (typeof networkFolder !== 'boolean') {
    throw new LeveretError(
      'E_BAD_OPTION',
      `connect: networkFolder is ${shown(networkFolder)}, and has to be true or false`,
    )
  }
  return { durability, deliverAfter, networkFolder }
}

function checkChoice(name: string, value: unknown, choices: readonly string[]): void {
  if (choices.some((choice) => choice === value)) return
  const last = `'${choices.at(-1)}'`
  const others = choices.slice(0, -1).map((choice) => `'${choice}'`)
  const text = `connect: ${name} is ${shown(value)}, and has to be ${others.join(', ')} or ${last}`
  throw new LeveretError('E_BAD_OPTION', text)
}
