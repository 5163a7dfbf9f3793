// Everything at once: one seed is one history, whatever goes wrong in it, and nothing that was stored is lost.
import { expect, it } from 'vitest'
import type { Bus } from '../../client/bus.ts'
import type { Queue } from '../../client/queue.ts'
import { createTestBroker, type TestBroker } from '../index.ts'

const lives = 4

/** What two processes and a crash after the other have made of some messages, in the order in which it happened. */
class History {
  readonly lines: unknown[] = []
  readonly stored = new Set<number>()
  readonly processed = new Set<number>()
  private readonly test: TestBroker
  private sent = 0

  constructor(test: TestBroker) {
    this.test = test
  }

  async live(life: number): Promise<void> {
    const { test } = this
    const [one, other] = [await test.connect(), await test.connect()]
    using _slow = test.faults.syncDelay(life * 3)
    const queue = await this.work(one, 'one')
    await this.work(other, 'other')
    for (let burst = 0; burst < 3; burst++) {
      for (let count = 0; count < 10; count++) this.send(queue)
      await test.advance('50ms')
    }
    if (life === 1) await test.faults.crashClient(other)
    await test.advance('100ms')
    await test.crash()
    await test.restart()
  }

  /** Whatever is left is processed in peace. */
  async end(): Promise<void> {
    this.test.faults.end()
    const queue = await this.work(await this.test.connect(), 'last')
    await this.test.advance('1h')
    expect((await queue.stats()).length).toBe(0)
  }

  private async work(bus: Bus, name: string): Promise<Queue<number, number>> {
    const { test, lines, processed } = this
    const queue = await test.run(bus.createQueue<number, number>('work', { retry: { attempts: 20, min: '50ms' } }))
    const done = await test.run(bus.createQueue<number>('done'))
    queue.process(
      async ({ data, redelivered, id }, context) => {
        lines.push([name, data, redelivered, context.attempt, id, test.now.toISOString()])
        if (data % 7 === 0 && context.attempt === 1) throw new Error('once more')
        if (data % 5 === 0) await test.sleep(data)
        if (data % 2 === 0) context.send(done, data)
        processed.add(data)
        return data
      },
      { concurrency: 3, onError() {} },
    )
    return queue
  }

  private send(queue: Queue<number, number>): void {
    const n = this.sent++
    const sent = n % 3 === 0 ? queue.send(n, { receipt: true }) : queue.send(n)
    sent.then(
      () => {
        this.stored.add(n)
        this.lines.push(`stored ${n}`)
      },
      (error: { code: string }) => this.lines.push(`${error.code} ${n}`),
    )
  }
}

async function historyOf(seed: number): Promise<History> {
  await using test = await createTestBroker({ seed })
  const history = new History(test)
  test.faults.duplicate({ share: 0.2 })
  test.faults.reorder({ share: 0.2, within: '30ms' })
  test.faults.failSend({ share: 0.1 })
  for (let life = 0; life < lives; life++) await history.live(life)
  await history.end()
  return history
}

it('repeats the history of a seed, and in none a message is lost that was stored', async () => {
  const seen = new Set<string>()
  for (let seed = 1; seed <= 8; seed++) {
    const { lines, stored, processed } = await historyOf(seed)
    expect([...stored].filter((n) => !processed.has(n))).toEqual([])
    expect(stored.size).toBeGreaterThan(30)
    expect((await historyOf(seed)).lines).toEqual(lines)
    seen.add(JSON.stringify(lines))
  }
  expect(seen.size).toBe(8)
})
