// Schedules on a disk that loses its power: at every operation of a short history, and in histories that a seed leads. What was
// said to be scheduled stays so, each time comes, and none comes twice.
import { expect, test } from 'vitest'
import { loadCronEngine } from '../cron-engine.ts'
import { Prng } from '../lib/prng.ts'
import type { MissedRuns, PutSchedule } from '../model/schedule-command.ts'
import { declareQueue } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const seeds = Number(process.env['LEVERET_SCHEDULE_SEEDS'] ?? '25')
const first = Number(process.env['LEVERET_SCHEDULE_SEED'] ?? '1')

const engine = await loadCronEngine()

function put(name: string, missed: MissedRuns, time: Partial<PutSchedule>, body = 'body'): PutSchedule {
  return {
    type: 'leveret.schedule-put',
    name,
    timezone: 'UTC',
    missed,
    exchange: '',
    routingKey: 'q',
    mandatory: true,
    properties: { deliveryMode: 2 },
    body: Buffer.from(body).toString('base64'),
    ...time,
  }
}

function makeFolder(seed: number): SimFolder {
  const folder = new SimFolder(seed)
  folder.engines.loadCronEngine = async () => engine
  return folder
}

/** The times for which each schedule published what is in the queue, in its order; it is empty then. */
async function takeDues(run: SimFolderRun): Promise<Map<string, number[]>> {
  const dues = new Map<string, number[]>()
  for (;;) {
    const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck: true })
    await run.settle(0)
    // The message may have to be read.
    while (!run.channel.replies.has(id)) {
      if (run.channel.error !== null) throw run.channel.error
      await run.settle(1)
    }
    const reply = run.channel.replies.get(id)
    if (reply?.type !== 'basic.get-ok') return dues
    const headers = reply.message.decodeProperties().headers
    const name = headers?.get('x-leveret-schedule')?.value as string
    const due = Number(headers?.get('x-leveret-scheduled-at')?.value)
    const known = dues.get(name)
    if (known === undefined) dues.set(name, [due])
    else known.push(due)
  }
}

/** Every `stepMs` from the first on, each once, up to the last that is past. */
function gapless(dues: readonly number[], stepMs: number, nowMs: number): readonly number[] {
  const [firstMs = Number.POSITIVE_INFINITY] = dues
  const expected: number[] = []
  for (let due = firstMs; due <= nowMs; due += stepMs) expected.push(due)
  return expected
}

const everySecond = put('all', 'all', { everyMs: 1_000 })
const byCron = put('cron', 'all', { cron: '*/2 * * * * *' })
const once = put('once', 'once', { everyMs: 500 })

/** Three schedules and three seconds; returns how many of them were said to be there. */
async function shortHistory(run: SimFolderRun): Promise<number> {
  await run.declare('q')
  let made = 0
  for (const command of [everySecond, byCron, once]) {
    const id = run.channel.give(command)
    await run.settle(300)
    if (run.channel.replies.has(id)) made++
  }
  await run.settle(3_000)
  return made
}

test('at every operation of a short history the power goes, and each time comes once and only once', async () => {
  const whole = makeFolder(1)
  await shortHistory(await whole.open())
  const { operations } = whole.disk
  expect(operations).toBeGreaterThan(40)
  for (let stopAt = 1; stopAt < operations; stopAt++) {
    const folder = makeFolder(1)
    folder.disk.stopAt = stopAt
    let made = 0
    // Up to some operation the broker does not even come up.
    const opening = folder.open().then(async (run) => {
      made = await shortHistory(run)
    })
    opening.catch(() => {})
    await folder.clock.advance(10_000)
    folder.kill(true)
    const run = await folder.open()
    run.channel.give(declareQueue('q', { durable: true }))
    await run.settle(2_100)
    const nowMs = folder.clock.realtimeMs()
    const dues = await takeDues(run)
    const where = `the power went before operation ${stopAt}`
    const [all = [], cron = [], some = []] = ['all', 'cron', 'once'].map((name) => dues.get(name))
    expect([all, cron, some].filter((one) => one.length > 0).length, where).toBeGreaterThanOrEqual(made)
    expect(all, where).toEqual(gapless(all, 1_000, nowMs))
    expect(cron, where).toEqual(gapless(cron, 2_000, nowMs))
    expect(new Set(some).size, where).toBe(some.length)
    if (some.length > 0) expect(nowMs - (some.at(-1) as number), where).toBeLessThan(500)
    await run.close()
  }
}, 120_000)

/** A schedule as far as whoever made it knows. */
interface Known {
  readonly stepMs: number
  readonly missed: MissedRuns
  readonly dues: number[]
}

class History {
  private readonly prng: Prng
  private readonly folder: SimFolder
  private readonly known = new Map<string, Known>()
  private run!: SimFolderRun
  readonly violations: string[] = []

  constructor(seed: number) {
    this.prng = new Prng(seed)
    this.folder = makeFolder(seed)
  }

  async play(): Promise<readonly string[]> {
    this.run = await this.folder.open()
    await this.run.declare('q')
    for (let step = 0; step < 30; step++) await this.step()
    for (const name of this.known.keys()) {
      this.run.channel.give({ type: 'leveret.schedule-pause', name, paused: false })
    }
    await this.run.settle(3_000)
    await this.take()
    this.judge()
    return this.violations
  }

  private async step(): Promise<void> {
    const { prng, run, folder } = this
    const kind = prng.below(10)
    if (kind < 2) await this.make()
    else if (kind < 4) this.pauseOne(prng.chance(0.5))
    else if (kind < 8) await run.settle(prng.below(prng.chance(0.3) ? 6_000 : 400))
    else {
      if (prng.chance(0.3)) await run.close()
      else folder.kill(prng.chance(0.5))
      if (prng.chance(0.5)) await folder.clock.advance(prng.below(5_000))
      this.run = await folder.open()
    }
    if (prng.chance(0.2)) await this.take()
  }

  private pauseOne(paused: boolean): void {
    const names = [...this.known.keys()]
    if (names.length === 0) return
    const name = names[this.prng.below(names.length)] as string
    this.run.channel.give({ type: 'leveret.schedule-pause', name, paused })
  }

  private async make(): Promise<void> {
    const { prng, known } = this
    const name = `s${known.size + 1}`
    const stepMs = 1_000 * (1 + prng.below(3))
    const missed = prng.chance(0.6) ? 'all' : prng.chance(0.5) ? 'once' : 'skip'
    const body = 'x'.repeat(prng.below(2_000))
    const time = prng.chance(0.5) ? { everyMs: stepMs } : { cron: `*/${stepMs / 1_000} * * * * *` }
    const id = this.run.channel.give(put(name, missed, time, body))
    await this.run.settle(200)
    // What is not answered is nobody's promise.
    if (this.run.channel.replies.has(id)) known.set(name, { stepMs, missed, dues: [] })
  }

  /** What was taken is gone for good only when that is stored. */
  private async take(): Promise<void> {
    for (const [name, dues] of await takeDues(this.run)) this.known.get(name)?.dues.push(...dues)
    await this.run.settle(500)
  }

  private judge(): void {
    const nowMs = this.folder.clock.realtimeMs()
    for (const [name, { dues, stepMs, missed }] of this.known) {
      if (dues.length === 0) this.violations.push(`${name} never came`)
      if (new Set(dues).size < dues.length) this.violations.push(`${name} came twice for one time`)
      if (missed !== 'all') continue
      const expected = gapless(dues, stepMs, nowMs - 600)
      const missing = expected.filter((due) => !dues.includes(due))
      if (missing.length > 0) this.violations.push(`${name} did not come for ${missing.join(', ')}`)
    }
  }
}

test(`in ${seeds} histories with crashes nothing that was scheduled is lost or doubled`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    expect(await new History(seed).play(), `seed ${seed}`).toEqual([])
  }
}, 120_000)
