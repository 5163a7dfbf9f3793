// Histories of messages that are removed by their id, on a disk that is killed and loses its power: what was said to be removed
// never comes, what was not is not lost, and what waited was found.
import { expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { consume, declareQueue } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const seeds = Number(process.env['LEVERET_CANCEL_SEEDS'] ?? '25')
const first = Number(process.env['LEVERET_CANCEL_SEED'] ?? '1')

interface Sent {
  /** Number of the publish on its channel, and whether it was confirmed. */
  sequence: number
  isStored: boolean
  /** Somebody had it in this life of the broker. */
  wasOut: boolean
  /** It came at least once, or may have been acknowledged. */
  hasCome: boolean
  /** It may be gone for what somebody asked. */
  mayBeGone: boolean
  /** It was said to be removed. */
  isGone: boolean
}

interface Asked {
  readonly body: string
  /** It was stored, and nobody had asked for its removal. */
  readonly wasThere: boolean
}

class History {
  readonly violations: string[] = []
  private readonly prng: Prng
  private readonly folder: SimFolder
  private readonly sent = new Map<string, Sent>()
  private readonly asked = new Map<number, Asked>()
  private readonly out: number[] = []
  private run!: SimFolderRun
  private takesAll = false

  constructor(seed: number) {
    this.prng = new Prng(seed)
    this.folder = new SimFolder(seed)
  }

  async play(): Promise<readonly string[]> {
    const { prng } = this
    this.run = await this.folder.open('/data', { windowBytesMax: prng.chance(0.5) ? 2_000 : 20_000 })
    const priorities = prng.chance(0.3) ? { 'x-max-priority': 3 } : {}
    const keys = prng.chance(0.3) ? { 'x-leveret-keyed': true } : {}
    this.run.channel.give(declareQueue('q', { durable: true, arguments: { ...priorities, ...keys } }))
    await this.run.settle(1_000)
    this.consume()
    for (let step = 0; step < 60; step++) await this.step()
    this.takesAll = true
    await this.reopen('close')
    await this.wait(60_000)
    for (const [body, { isStored, hasCome, mayBeGone }] of this.sent) {
      if (isStored && !hasCome && !mayBeGone) this.violations.push(`${body} was confirmed and never came`)
    }
    return this.violations
  }

  private async step(): Promise<void> {
    const { prng } = this
    const kind = prng.below(20)
    if (kind < 8) this.publish(1 + prng.below(20))
    else if (kind < 13) this.cancel()
    else if (kind < 15) this.settleOne()
    else if (kind < 19) await this.wait(prng.below(prng.chance(0.3) ? 3_000 : 200))
    else await this.reopen(prng.chance(0.3) ? 'close' : prng.chance(0.5) ? 'kill' : 'power')
  }

  private publish(count: number): void {
    const { prng, run } = this
    for (let at = 0; at < count; at++) {
      const body = `m${this.sent.size + 1}`
      const delay = prng.chance(0.4) ? { 'x-leveret-delay': 1 + prng.below(prng.chance(0.5) ? 300 : 20_000) } : {}
      const headers = { ...delay, 'x-leveret-key': `k${prng.below(3)}`, padding: '.'.repeat(prng.below(300)) }
      const properties = { messageId: body, priority: prng.below(4) }
      const sequence = run.channel.post('', 'q', body, { persistent: true, headers, properties })
      const sent = { sequence, isStored: false, wasOut: false, hasCome: false, mayBeGone: false, isGone: false }
      this.sent.set(body, sent)
    }
  }

  private cancel(): void {
    const bodies = [...this.sent.keys()]
    if (bodies.length === 0) return
    const body = bodies[this.prng.below(bodies.length)] as string
    const sent = this.sent.get(body) as Sent
    this.look()
    const id = this.run.channel.give({ type: 'leveret.cancel', queue: 'q', messageId: body })
    this.asked.set(id, { body, wasThere: sent.isStored && !sent.mayBeGone })
    sent.mayBeGone = true
    this.look()
  }

  private settleOne(): void {
    if (this.out.length === 0) return
    const [tag = 0] = this.out.splice(this.prng.below(this.out.length), 1)
    if (this.prng.chance(0.5)) this.run.channel.port.ack(tag, false)
    else this.run.channel.port.reject(tag, false, true)
  }

  private async wait(ms: number): Promise<void> {
    await this.run.settle(ms)
    this.look()
  }

  /** What was said meanwhile. */
  private look(): void {
    const { channel } = this.run
    for (const line of channel.takeLines()) {
      const [, multiple, number] = /^confirm (up to )?(\d+)$/.exec(line) ?? []
      for (const sent of number === undefined ? [] : this.sent.values()) {
        const { sequence } = sent
        if (sequence === Number(number) || (multiple !== undefined && sequence > 0 && sequence < Number(number))) {
          sent.isStored = true
          sent.sequence = 0
        }
      }
    }
    for (const [id, { body, wasThere }] of this.asked) {
      const reply = channel.replies.get(id)
      if (reply?.type !== 'leveret.cancelled') continue
      this.asked.delete(id)
      const sent = this.sent.get(body) as Sent
      if (reply.count > 1) this.violations.push(`${body} was removed ${reply.count} times`)
      if (reply.count === 1) sent.isGone = true
      else {
        const isWaiting = wasThere && !sent.wasOut && !sent.hasCome && !sent.isGone
        if (isWaiting) this.violations.push(`${body} waited and was not found`)
        // Somebody had it, so it comes once more, unless others have asked, too.
        const isAskedStill = [...this.asked.values()].some((one) => one.body === body)
        if (wasThere && !isAskedStill && !sent.isGone) sent.mayBeGone = false
      }
    }
  }

  private async reopen(how: 'close' | 'kill' | 'power'): Promise<void> {
    this.look()
    if (how === 'close') await this.run.close()
    else this.folder.kill(how === 'power')
    this.asked.clear()
    this.out.length = 0
    for (const sent of this.sent.values()) {
      sent.sequence = 0
      sent.wasOut = false
    }
    this.run = await this.folder.open('/data', { windowBytesMax: this.prng.chance(0.5) ? 2_000 : 20_000 })
    this.consume()
  }

  private consume(): void {
    const { channel } = this.run
    channel.onDelivered = ({ tag, body }) => {
      const sent = this.sent.get(body) as Sent
      if (sent.isGone) this.violations.push(`${body} came, which was removed`)
      sent.wasOut = true
      sent.hasCome = true
      if (this.takesAll) channel.port.ack(tag, false)
      else this.out.push(tag)
    }
    if (!this.takesAll) channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 4, global: false })
    channel.give(consume('q'))
  }
}

test(`in ${seeds} histories what was removed never comes, and all the rest does`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    expect(await new History(seed).play(), `seed ${seed}`).toEqual([])
  }
}, 120_000)
