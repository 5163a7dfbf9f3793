// Histories of hidden messages on a disk that is killed and loses its power: each comes in its time, and none is lost.
import { expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { consume, declareQueue } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const seeds = Number(process.env['LEVERET_DELAY_SEEDS'] ?? '25')
const first = Number(process.env['LEVERET_DELAY_SEED'] ?? '1')

interface Publication {
  readonly dueMs: number
  deliveries: number
  /** How often it may come: once more for each end of the broker that may have forgotten what became of it. */
  allowed: number
  /** It was acknowledged, and no crash followed within a second. */
  isGone: boolean
  ackedMs: number
}

class History {
  private readonly prng: Prng
  private readonly folder: SimFolder
  private readonly published = new Map<string, Publication>()
  private readonly stored = new Set<string>()
  private run!: SimFolderRun
  private holdsBack = false
  readonly violations: string[] = []

  constructor(seed: number) {
    this.prng = new Prng(seed)
    this.folder = new SimFolder(seed)
  }

  async play(): Promise<readonly string[]> {
    await this.open()
    const table = this.prng.chance(0.3) ? { 'x-max-priority': 3 } : {}
    this.run.channel.give(declareQueue('q', { durable: true, arguments: table }))
    await this.run.settle(1_000)
    this.consume()
    for (let step = 0; step < 25; step++) await this.step()
    // Then everything becomes due, and is acknowledged.
    this.holdsBack = false
    await this.reopen('close')
    await this.wait(40_000)
    for (const body of this.stored) {
      if (this.published.get(body)?.deliveries === 0) this.violations.push(`${body} was confirmed and never came`)
    }
    await this.reopen('close')
    await this.wait(10_000)
    return this.violations
  }

  private async step(): Promise<void> {
    const { prng } = this
    const kind = prng.below(12)
    if (kind < 6) this.publish(1 + prng.below(12))
    else if (kind < 9) await this.wait(prng.below(prng.chance(0.3) ? 5_000 : 300))
    else if (kind === 9) this.holdsBack = prng.chance(0.5)
    else await this.reopen(prng.chance(0.3) ? 'close' : prng.chance(0.5) ? 'kill' : 'power')
  }

  private publish(count: number): void {
    const { prng } = this
    for (let at = 0; at < count; at++) {
      const ms = prng.chance(0.2) ? 0 : prng.below(prng.chance(0.5) ? 200 : 20_000)
      const body = `${this.published.size + 1}${'.'.repeat(prng.below(300))}`
      const dueMs = Math.floor(this.folder.clock.realtimeMs() + ms)
      this.published.set(body, { dueMs, deliveries: 0, allowed: 1, isGone: false, ackedMs: Number.POSITIVE_INFINITY })
      this.run.post('q', body, { 'x-leveret-delay': ms })
    }
  }

  private async wait(ms: number): Promise<void> {
    await this.run.settle(ms)
    for (const body of this.run.confirmed) this.stored.add(body)
    const nowMs = this.folder.clock.realtimeMs()
    for (const publication of this.published.values()) {
      if (nowMs - publication.ackedMs > 1_000) publication.isGone = true
    }
  }

  private async open(): Promise<void> {
    this.run = await this.folder.open('/data', { windowBytesMax: this.prng.chance(0.5) ? 2_000 : 20_000 })
  }

  private async reopen(how: 'close' | 'kill' | 'power'): Promise<void> {
    for (const body of this.run.confirmed) this.stored.add(body)
    if (how === 'close') await this.run.close()
    else this.folder.kill(how === 'power')
    for (const publication of this.published.values()) {
      if (how === 'close' && publication.ackedMs < Number.POSITIVE_INFINITY) publication.isGone = true
      else if (!publication.isGone && publication.deliveries === publication.allowed) publication.allowed++
      publication.ackedMs = Number.POSITIVE_INFINITY
    }
    await this.open()
    this.consume()
  }

  private consume(): void {
    const { channel } = this.run
    channel.onDelivered = ({ tag, body, message }) => {
      const publication = this.published.get(body)
      if (publication === undefined) {
        this.violations.push(`${body} came, which nobody published`)
        return
      }
      if (++publication.deliveries > publication.allowed) this.violations.push(`${body} came twice`)
      if (this.folder.clock.realtimeMs() < publication.dueMs) this.violations.push(`${body} came too early`)
      if (publication.isGone) this.violations.push(`${body} came back, ${message.bodyBytes} bytes`)
      if (this.holdsBack) return
      channel.ack(tag)
      publication.ackedMs = this.folder.clock.realtimeMs()
    }
    channel.give(consume('q'))
  }
}

test(`in ${seeds} histories each comes when it is due, and again only after a crash`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    expect(await new History(seed).play(), `seed ${seed}`).toEqual([])
  }
}, 120_000)
