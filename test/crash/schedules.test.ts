// A schedule in the real binary, which is killed again and again: each of its times comes, and none comes twice.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { connect } from '../../src/index.ts'
import { LeveretProcess } from '../support/leveret-process.ts'

const kills = Number(process.env['LEVERET_KILLS'] ?? 8)
const everyMs = 100

let leveret: LeveretProcess

beforeEach(async () => {
  leveret = await LeveretProcess.start()
})

afterEach(() => leveret.dispose())

it(`${kills} times SIGKILL lose no run of a schedule and double none`, async () => {
  const first = await connect(leveret.url)
  const queue = await first.createQueue('q')
  await first.schedule('often', { every: everyMs }, queue, 'now', { missed: 'all' })
  // The bus outlives its broker, which is no error.
  for (let kill = 0; kill < kills; kill++) {
    await sleep(30 + ((kill * 137) % 400))
    await leveret.kill()
    await leveret.start()
  }
  const bus = await connect(leveret.url)
  for (const schedule of await bus.schedules()) {
    await schedule.pause()
    expect(schedule).toMatchObject({ failures: 0, missed: 0 })
  }
  const again = await bus.openQueue('q')
  const dues: number[] = []
  const { ready } = await again.count()
  expect(ready).toBeGreaterThan(kills)
  for await (const message of again.receive()) {
    dues.push(Number(message.schedule?.dueAt))
    await message.ack()
    if (dues.length === ready) break
  }
  const [firstMs = 0] = dues
  expect(dues).toEqual(dues.map((_due, at) => firstMs + at * everyMs))
  await bus.close()
  await first.close()
}, 60_000)
