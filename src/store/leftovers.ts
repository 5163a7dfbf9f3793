/** What becomes of files that no checkpoint names: derived data and copies, unless there is no checkpoint to ask. */
import type { Disk } from '../platform/disk.ts'

export class Leftovers {
  private readonly disk: Disk
  private readonly quarantineDirectory: string | null
  private readonly suffix: string

  /** `quarantineDirectory` null: they are removed; else they are put there, with `suffix` to their names. */
  constructor(disk: Disk, quarantineDirectory: string | null, suffix: string) {
    this.disk = disk
    this.quarantineDirectory = quarantineDirectory
    this.suffix = suffix
  }

  async take(directory: string, name: string): Promise<void> {
    if (this.quarantineDirectory === null) await this.disk.remove(`${directory}/${name}`)
    else await this.disk.rename(`${directory}/${name}`, `${this.quarantineDirectory}/${name}.${this.suffix}`)
  }
}
