// Publishes with an idempotency key: taken once by each queue, within an hour, whatever ends in between.
import { describe, expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import type { PlainValue } from '../model/field-table.ts'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const hourMs = 3_600_000
const name = 'x-leveret-idempotency-key'

async function open(): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q')
  return [core, channel]
}

function publish(channel: CoreChannel, body: string, key: PlainValue, more: Record<string, PlainValue> = {}): void {
  channel.publish('', 'q', body, { headers: { [name]: key, ...more } })
}

describe('a publish with an idempotency key', () => {
  test('is taken once: the second is confirmed and goes nowhere', async () => {
    const [, channel] = await open()
    channel.ask({ type: 'confirm.select' })
    channel.takeLines()
    publish(channel, 'first', 'k')
    publish(channel, 'second', 'k')
    publish(channel, 'other', 'l')
    expect(channel.takeLines().filter((line) => line.startsWith('confirm'))).toHaveLength(3)
    expect(channel.drain('q')).toEqual(['first', 'other'])
  })

  test('is new again after an hour, and not before', async () => {
    const [core, channel] = await open()
    publish(channel, 'a', 'k')
    core.clock.advance(hourMs - 1)
    publish(channel, 'b', 'k')
    core.clock.advance(1)
    publish(channel, 'c', 'k')
    expect(channel.drain('q')).toEqual(['a', 'c'])
  })

  test('is known by each queue for itself, and by one that was deleted and declared again not at all', async () => {
    const [, channel] = await open()
    channel.declareQueue('r')
    channel.bind('r', 'amq.fanout')
    publish(channel, 'a', 'k')
    channel.bind('q', 'amq.fanout')
    channel.publish('amq.fanout', '', 'b', { headers: { [name]: 'k' } })
    channel.publish('amq.fanout', '', 'c')
    expect([channel.drain('q'), channel.drain('r')]).toEqual([
      ['a', 'c'],
      ['b', 'c'],
    ])
    channel.deleteQueue('q')
    channel.declareQueue('q')
    publish(channel, 'd', 'k')
    expect(channel.drain('q')).toEqual(['d'])
  })

  test('is not returned as unroutable where the queue has it already', async () => {
    const [, channel] = await open()
    for (const mandatory of [true, true]) channel.publish('', 'q', 'a', { mandatory, headers: { [name]: 'k' } })
    channel.publish('', 'nowhere', 'a', { mandatory: true, headers: { [name]: 'k' } })
    expect(channel.takeLines().filter((line) => line.startsWith('return'))).toHaveLength(1)
  })

  test('counts in a transaction when that is committed, also twice in one', async () => {
    const [, channel] = await open()
    channel.ask({ type: 'tx.select' })
    publish(channel, 'rolled back', 'k')
    channel.ask({ type: 'tx.rollback' })
    publish(channel, 'a', 'k')
    publish(channel, 'b', 'k')
    channel.ask({ type: 'tx.commit' })
    expect(channel.drain('q')).toEqual(['a'])
  })

  test('with a delay is known while it is hidden, and is not left out when it is due', async () => {
    const [core, channel] = await open()
    publish(channel, 'a', 'k', { 'x-leveret-delay': 1_000 })
    publish(channel, 'b', 'k')
    core.clock.advance(1_100)
    expect(channel.drain('q')).toEqual(['a'])
  })

  test('is looked at in no copy of a message that was taken: another attempt, or a dead letter', async () => {
    const [, channel] = await open()
    publish(channel, 'a', 'k')
    publish(channel, 'attempt', 'k', { 'x-leveret-attempt': 2 })
    publish(channel, 'set aside', 'k', { 'x-leveret-queue': 'q' })
    publish(channel, 'dead', 'k', { 'x-death': 'of any kind' })
    expect(channel.drain('q')).toEqual(['a', 'attempt', 'set aside', 'dead'])
  })

  test('is dead-lettered like any other', async () => {
    const [core, channel] = await open()
    const table = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q', 'x-message-ttl': 10 }
    channel.declareQueue('short', { arguments: table })
    publish(channel, 'a', 'k')
    channel.publish('', 'short', 'b', { headers: { [name]: 'k' } })
    core.clock.advance(20)
    expect(channel.drain('q')).toEqual(['a', 'b'])
  })

  test.each([
    ['', 'it has 0 bytes, and 1 to 255 are wanted'],
    ['é'.repeat(128), 'it has 256 bytes, and 1 to 255 are wanted'],
    [7, 'text is wanted, not type'],
  ])('is refused if the key is %j', async (key, reason) => {
    const [, channel] = await open()
    publish(channel, 'a', key)
    const text = channel.takeLines().join('\n')
    expect(text).toContain('PRECONDITION_FAILED')
    expect(text).toContain(`invalid x-leveret-idempotency-key: ${reason}`)
  })
})

describe('an idempotency key in a folder', () => {
  test('is known after a clean end, with checkpoints and without', async () => {
    for (const checkpointMs of [500, 1_000_000]) {
      const folder = new SimFolder()
      let run = await folder.open('/data', { checkpointMs })
      await run.declare('q')
      run.post('q', 'a', { [name]: 'k' })
      await run.settle(2_000)
      await run.close()
      run = await folder.open('/data', { checkpointMs })
      run.post('q', 'b', { [name]: 'k' })
      run.post('q', 'c', { [name]: 'l' })
      await run.settle()
      expect(run.confirmed).toEqual(['b', 'c'])
      expect(await run.take('q')).toEqual(['a', 'c'])
    }
  })

  test('of a transient message is forgotten with it', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    await run.declare('q')
    run.channel.post('', 'q', 'a', { headers: { [name]: 'k' } })
    await run.settle()
    await run.close()
    const again = await folder.open()
    again.post('q', 'b', { [name]: 'k' })
    await again.settle()
    expect(await again.take('q')).toEqual(['b'])
  })

  test('confirms a second publish only when the first is on the disk', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    await run.declare('q')
    run.post('q', 'a', { [name]: 'k' })
    await run.settle(0)
    run.post('q', 'b', { [name]: 'k' })
    await run.settle(0)
    expect(run.confirmed).toEqual([])
    await run.settle()
    expect(run.confirmed).toEqual(['a', 'b'])
  })
})

const seeds = Number(process.env['LEVERET_IDEMPOTENCY_SEEDS'] ?? '40')
const first = Number(process.env['LEVERET_IDEMPOTENCY_SEED'] ?? '1')

/** Publishes each of many messages again until it is confirmed, while the broker is killed again and again. */
class History {
  private readonly prng: Prng
  private readonly folder: SimFolder
  private run!: SimFolderRun
  private readonly waiting: string[] = []
  private readonly taken: string[] = []
  private count = 0

  constructor(seed: number) {
    this.prng = new Prng(seed)
    this.folder = new SimFolder(seed)
  }

  /** What came, and what should have. */
  async play(): Promise<[string[], string[]]> {
    const { prng } = this
    await this.open()
    await this.run.declare('q')
    for (let step = 0; step < 25; step++) {
      const kind = prng.below(10)
      if (kind < 5) this.publish(1 + prng.below(8))
      else if (kind < 7) await this.run.settle(prng.below(prng.chance(0.3) ? 2_000 : 60))
      else await this.reopen(prng.chance(0.3) ? 'close' : prng.chance(0.5) ? 'kill' : 'power')
    }
    await this.reopen('close')
    this.taken.push(...(await this.run.take('q')))
    return [this.taken.sort(), Array.from({ length: this.count }, (_, at) => bodyOf(at + 1)).sort()]
  }

  private publish(count: number): void {
    for (let at = 0; at < count; at++) {
      const body = bodyOf(++this.count)
      this.waiting.push(body)
      this.post(body)
    }
    // Whoever is not sure may ask twice.
    if (this.prng.chance(0.3)) this.post(this.waiting[this.prng.below(this.waiting.length)] as string)
  }

  private post(body: string): void {
    this.run.post('q', body, { [name]: `key of ${body.slice(0, 6)}` })
  }

  private async open(): Promise<void> {
    this.run = await this.folder.open('/data', { checkpointMs: this.prng.chance(0.5) ? 300 : 100_000 })
  }

  private async reopen(how: 'close' | 'kill' | 'power'): Promise<void> {
    if (how === 'close') await this.run.settle()
    const confirmed = new Set(this.run.confirmed)
    if (how === 'close') await this.run.close()
    else this.folder.kill(how === 'power')
    const unsure = this.waiting.splice(0).filter((body) => !confirmed.has(body))
    await this.open()
    for (const body of unsure) {
      this.waiting.push(body)
      this.post(body)
    }
    if (this.prng.chance(0.3)) await this.run.settle()
  }
}

function bodyOf(number: number): string {
  return `${String(number).padStart(6, '0')}${'.'.repeat((number * 37) % 300)}`
}

test(`in ${seeds} histories of kills and power cuts, what is published until it is confirmed is there once`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    const [taken, wanted] = await new History(seed).play()
    expect(taken, `seed ${seed}`).toEqual(wanted)
  }
}, 120_000)
