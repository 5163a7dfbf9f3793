/** Long work beside the broker, in slices: others get their turn between them. */
import type { Platform } from '../platform/platform.ts'

export interface PaceOptions {
  /** How long such work goes on at a stretch, in milliseconds; 0: at every `rest` others get their turn. */
  readonly sliceMs: number
  /** How long it then rests; 0: until what is due now is done. */
  readonly restMs: number
}

export class Pace {
  private readonly platform: Platform
  private readonly options: PaceOptions
  private sliceStart: number

  constructor(platform: Platform, options: PaceOptions) {
    this.platform = platform
    this.options = options
    this.sliceStart = platform.clock.monotonicMs()
  }

  async rest(): Promise<void> {
    const { clock } = this.platform
    const { sliceMs, restMs } = this.options
    if (clock.monotonicMs() - this.sliceStart < sliceMs) return
    await new Promise<void>((resolve) => {
      if (restMs > 0) clock.setTimer(restMs, resolve)
      else clock.defer(resolve)
    })
    this.sliceStart = clock.monotonicMs()
  }
}
