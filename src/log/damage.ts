/** Damage to confirmed data. Strict: it is a reason not to open the folder. Salvage: it is noted and gone around. */
import { storageCorrupt } from './log-error.ts'

export interface Damage {
  readonly file: string
  readonly offset: number
  /** How much was left out (salvage); 0 if unknown. */
  readonly bytes: number
  readonly detail: string
}

export class Damages {
  readonly list: Damage[] = []
  readonly salvage: boolean

  constructor(salvage: boolean) {
    this.salvage = salvage
  }

  /** Strict: throws. */
  note(file: string, offset: number, bytes: number, detail: string): void {
    if (!this.salvage) throw storageCorrupt(file, offset, detail)
    this.list.push({ file, offset, bytes, detail })
  }

  /** As `note`; a file is missing once, however many say so. */
  noteMissing(file: string): void {
    const detail = 'the file is missing'
    if (this.list.some((damage) => damage.file === file && damage.detail === detail)) return
    this.note(file, 0, 0, detail)
  }
}
