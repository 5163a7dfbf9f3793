/**
 * Message ids: UUID version 7, so they sort by time and every language has a type for them.
 *
 *     tttttttt-tttt-7rrr-vrrr-rrrrcccccccc      t milliseconds, r random, c a counter that starts anywhere
 *
 * All but the counter changes once a millisecond at most; a message takes the prefix as it is and eight digits. The text
 * is only put together when somebody asks for it.
 */
import type { Platform } from '../platform/platform.ts'

export const idLength = 36
const prefixLength = 28
const hexDigits: Buffer = Buffer.from('0123456789abcdef')

export class IdSource {
  /** What the present id begins with: 28 characters. */
  prefix = ''
  /** What it ends with: 32 bits. */
  counter: number
  private readonly platform: Platform
  private readonly random: string
  private readonly prefixBytes: Buffer = Buffer.alloc(prefixLength)
  private timeMs = -1

  constructor(platform: Platform) {
    this.platform = platform
    const random = Buffer.alloc(12)
    platform.random.fill(random)
    this.counter = random.readUInt32BE(8)
    // The two highest bits of the fourth group are the variant.
    random[2] = ((random[2] as number) & 0x3f) | 0x80
    const text = random.toString('hex')
    this.random = `7${text.slice(0, 3)}-${text.slice(4, 8)}-${text.slice(8, 12)}`
  }

  /** Goes on to the next id. */
  advance(): void {
    this.counter = (this.counter + 1) >>> 0
    const nowMs = this.platform.clock.realtimeMs()
    // A clock that goes back must not give an id twice, nor one that sorts before its elder.
    if (nowMs > this.timeMs) this.startMillisecond(Math.floor(nowMs))
  }

  /** The present id as text. */
  text(): string {
    return idText(this.prefix, this.counter)
  }

  /** Writes the present id's 36 characters. */
  writeTo(target: Buffer, start: number): void {
    const { prefixBytes } = this
    for (let at = 0; at < prefixLength; at++) target[start + at] = prefixBytes[at] as number
    let at = start + prefixLength
    for (let shift = 28; shift >= 0; shift -= 4) target[at++] = hexDigits[(this.counter >>> shift) & 15] as number
  }

  private startMillisecond(timeMs: number): void {
    this.timeMs = timeMs
    const time = timeMs.toString(16).padStart(12, '0').slice(-12)
    this.prefix = `${time.slice(0, 8)}-${time.slice(8)}-${this.random}`
    this.prefixBytes.write(this.prefix, 0, prefixLength, 'latin1')
  }
}

export function idText(prefix: string, counter: number): string {
  return prefix + counter.toString(16).padStart(8, '0')
}
