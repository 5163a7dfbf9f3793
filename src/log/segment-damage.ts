/** What becomes of damage inside a segment: it does not matter, is a reason to refuse, or is copied aside and left out. */
import type { Damages } from './damage.ts'
import type { FoundSegment } from './found-segments.ts'
import type { Quarantine } from './quarantine.ts'
import type { Retention } from './retention.ts'

export class SegmentDamage {
  private readonly list: readonly FoundSegment[]
  private readonly retention: Retention
  private readonly damages: Damages
  private readonly quarantine: Quarantine

  constructor(list: readonly FoundSegment[], retention: Retention, damages: Damages, quarantine: Quarantine) {
    this.list = list
    this.retention = retention
    this.damages = damages
    this.quarantine = quarantine
  }

  get salvage(): boolean {
    return this.damages.salvage
  }

  /**
   * Notes damage. Strict: throws, unless the segment is one that a later RETAINED record gives up, whose deletion a
   * crash interrupted; then returns false and the rest of the segment does not matter. Salvage: true.
   */
  async note(index: number, offset: number, bytes: number, detail: string): Promise<boolean> {
    const found = this.list[index] as FoundSegment
    if (await this.retention.isGivenUpLater(found.segment.id, this.list.slice(index + 1))) return false
    this.damages.note(found.segment.path, offset, bytes, detail)
    if (bytes > 0) await this.quarantine.copyAside(found, offset, offset + bytes, 'damaged')
    return true
  }
}
