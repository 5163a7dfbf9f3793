/** How far a long command has come: one line on standard error that is written over, if a person is looking there. */
import { NodeClock } from '../platform/node-clock.ts'

const intervalMs = 200

export class Progress {
  private readonly clock = new NodeClock()
  private readonly what: string
  private readonly total: number | null
  private readonly isShown: boolean
  private done = 0
  private shownMs = Number.NEGATIVE_INFINITY
  private hasLine = false

  /** `total` null: nobody knows how much there is. */
  constructor(what: string, total: number | null, isShown: boolean = process.stderr.isTTY) {
    this.what = what
    this.total = total
    this.isShown = isShown
  }

  add(bytes: number): void {
    this.done += bytes
    if (!this.isShown) return
    const nowMs = this.clock.monotonicMs()
    if (nowMs - this.shownMs < intervalMs) return
    this.shownMs = nowMs
    this.hasLine = true
    const { done, total } = this
    const of = total === null || done > total ? '' : ` of ${sizeText(total)}`
    process.stderr.write(`\r\u001b[K${this.what}: ${sizeText(done)}${of}`)
  }

  end(): void {
    if (this.hasLine) process.stderr.write('\r\u001b[K')
    this.hasLine = false
  }
}

/** As people read it: 17 B, 1.5 KiB, 64 MiB. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  const digits = value >= 10 || unit === 0 ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}
