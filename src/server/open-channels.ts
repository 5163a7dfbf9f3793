/** The open channels of a connection, and the one that the last frame was for: mostly the next frame is for it, too. */
import type { ChannelAdapter } from './channel-adapter.ts'

export class OpenChannels {
  /** Of the last frame, and its channel; null: there is none, as for 0. */
  number = -1
  current: ChannelAdapter | null = null
  private readonly byNumber: Map<number, ChannelAdapter> = new Map()

  get count(): number {
    return this.byNumber.size
  }

  select(number: number): ChannelAdapter | null {
    this.number = number
    this.current = this.byNumber.get(number) ?? null
    return this.current
  }

  add(adapter: ChannelAdapter): void {
    this.byNumber.set(adapter.number, adapter)
    this.select(adapter.number)
  }

  /** The number is free again. */
  remove(number: number): void {
    this.byNumber.delete(number)
    this.deselect()
  }

  /** The connection ends, and they with it. */
  detach(): void {
    for (const adapter of this.byNumber.values()) adapter.detach()
    this.byNumber.clear()
    this.deselect()
  }

  pauseDeliveries(): void {
    for (const adapter of this.byNumber.values()) adapter.pauseDeliveries()
  }

  resumeDeliveries(): void {
    for (const adapter of this.byNumber.values()) adapter.resumeDeliveries()
  }

  private deselect(): void {
    this.number = -1
    this.current = null
  }
}
