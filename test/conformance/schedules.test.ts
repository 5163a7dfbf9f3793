// Schedules, on every engine: kept by the broker, whoever made them.
import { expect } from 'vitest'
import { defineEvent, defineQueue, type Schedule } from '../../src/index.ts'
import { codeOf, conformance, takeMessages } from './scene.ts'
import { positive } from './schemas.ts'

const yearly = '0 0 1 1 *'
const needs = { needs: 'schedules' } as const

async function find(schedules: Promise<Schedule[]>, name: string): Promise<Schedule | undefined> {
  return (await schedules).find((one) => one.name === name)
}

conformance((test) => {
  test(
    'a schedule by a time between two runs sends to its queue, and the message says which and when it was due',
    async ({ bus, name }) => {
      const queue = await bus.createQueue<{ file: string }>(name())
      const schedule = await bus.schedule(name('often'), { every: 100 }, queue, { file: 'all' }, { headers: { a: 1 } })
      const [first, second] = await takeMessages(queue, 2)
      await schedule.remove()
      expect(first).toMatchObject({ data: { file: 'all' }, headers: { a: 1 }, schedule: { name: schedule.name } })
      // A busy machine may be late, and then one run makes up for what it missed.
      expect((Number(second?.schedule?.dueAt) - Number(first?.schedule?.dueAt)) % 100).toBe(0)
      expect(first?.id).toBe(`${schedule.name}:${Number(first?.schedule?.dueAt)}`)
    },
    needs,
  )

  test(
    'a schedule by a cron expression tells when it comes next, in its time zone',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const plain = await bus.schedule(name('utc'), yearly, queue, 1)
      const there = await bus.schedule(name('there'), yearly, queue, 1, { timezone: 'Asia/Shanghai' })
      expect(plain.nextAt?.toISOString()).toMatch(/-01-01T00:00:00.000Z$/)
      expect(there.nextAt?.toISOString()).toMatch(/-12-31T16:00:00.000Z$/)
    },
    needs,
  )

  test(
    'a schedule that is run sends now, and its times stay as they are',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const schedule = await bus.schedule(name('yearly'), yearly, queue, 'happy new year')
      const { nextAt } = schedule
      await schedule.run()
      expect(await takeMessages(queue, 1)).toMatchObject([
        { data: 'happy new year', schedule: { name: schedule.name } },
      ])
      expect(schedule).toMatchObject({ runs: 1, failures: 0, missed: 0, nextAt })
    },
    needs,
  )

  test(
    'all schedules are listed, for every process that uses the broker',
    async ({ bus, name, another }) => {
      const queue = await bus.createQueue(name())
      const event = defineEvent('image.resized')
      const made = await bus.schedule(name('one'), yearly, queue, 1, { timezone: 'Europe/Berlin', missed: 'skip' })
      const other = await bus.schedule(name('two'), { every: '10m' }, event, 1)
      const list = (await another()).schedules()
      expect(await find(list, made.name)).toMatchObject({
        when: yearly,
        timezone: 'Europe/Berlin',
        target: { kind: 'queue', name: queue.name },
        missedRuns: 'skip',
        paused: false,
        nextAt: made.nextAt,
        lastAt: null,
        runs: 0,
      })
      expect(await find(list, other.name)).toMatchObject({
        when: { every: 600_000 },
        target: { kind: 'event', name: event.name },
      })
    },
    needs,
  )

  test(
    'a schedule that is paused sends nothing, goes on when another process says so, and is gone when it is removed',
    async ({ bus, name, another }) => {
      const queue = await bus.createQueue(name())
      const schedule = await bus.schedule(name('often'), { every: 100 }, queue, 1)
      await schedule.pause()
      expect(schedule).toMatchObject({ paused: true, nextAt: null })
      await queue.purge()
      await schedule.run()
      expect((await queue.count()).ready).toBe(1)
      await (await find((await another()).schedules(), schedule.name))?.resume()
      await takeMessages(queue, 2)
      expect(await schedule.remove()).toBe(true)
      expect(await schedule.remove()).toBe(false)
      expect(await find(bus.schedules(), schedule.name)).toBeUndefined()
      expect(await codeOf(schedule.pause())).toBe('NOT_FOUND')
    },
    needs,
  )

  test(
    'a schedule that is made again stays as it is, and one that is made differently takes its place',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const called = name('hourly')
      const first = await bus.schedule(called, { every: '1h' }, queue, 1)
      const again = await bus.schedule(called, { every: '1h' }, queue, 1)
      expect(again.nextAt).toEqual(first.nextAt)
      const other = await bus.schedule(called, { every: '2h' }, queue, 2)
      expect(Number(other.nextAt) - Number(first.nextAt)).toBeGreaterThanOrEqual(3_600_000)
      await other.run()
      expect(await takeMessages(queue, 1)).toMatchObject([{ data: 2 }])
      expect((await bus.schedules()).filter((one) => one.name === called)).toHaveLength(1)
    },
    needs,
  )

  test(
    'what cannot be is refused when the schedule is made, with the reason',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(defineQueue(name(), { input: positive }))
      const tried = (when: Parameters<typeof bus.schedule>[1], options = {}): Promise<string> =>
        bus.schedule(name('bad'), when, queue, 1, options).then(String, String)
      expect(await tried('61 * * * *')).toMatch(/^LeveretError: E_BAD_OPTION: .*'61 \* \* \* \*'.*minute: 61/)
      expect(await tried('every day')).toMatch(/E_BAD_OPTION/)
      expect(await tried('0 0 30 2 *')).toMatch(/E_BAD_OPTION.*never comes/)
      expect(await tried(yearly, { timezone: 'Mars/Phobos' })).toMatch(/E_BAD_OPTION.*'Mars\/Phobos' is no time zone/)
      expect(await tried({ every: '1ms' })).toMatch(/E_BAD_OPTION.*from 100 to/)
      expect(await tried({ every: '1h' }, { timezone: 'UTC' })).toMatch(/E_BAD_OPTION/)
      expect(await tried(yearly, { missed: 'never' })).toMatch(/E_BAD_OPTION/)
      expect(await tried(yearly, { headers: { at: new Date(0) } })).toMatch(/E_BAD_OPTION/)
      expect(await codeOf(bus.schedule(name('bad'), yearly, queue, -1))).toBe('E_BAD_DATA')
      expect(await codeOf(bus.schedule(name('bad'), yearly, defineQueue(name('none')), 1))).toBe('E_UNROUTABLE')
      expect(await codeOf(bus.schedule(name('bad'), yearly, defineQueue(name('large')), 'x'.repeat(70_000)))).toBe(
        'E_BAD_OPTION',
      )
      expect((await bus.schedules()).filter((one) => one.name.startsWith('bad'))).toEqual([])
    },
    needs,
  )

  test(
    'a run that nobody takes is counted as failed, and the schedule stays',
    async ({ bus, name }) => {
      const queue = await bus.createQueue(name())
      const schedule = await bus.schedule(name('yearly'), yearly, queue, 1)
      await queue.delete()
      expect(await codeOf(schedule.run())).toBe('PRECONDITION_FAILED')
      expect(await find(bus.schedules(), schedule.name)).toMatchObject({
        runs: 1,
        failures: 1,
        lastError: `queue '${queue.name}' is gone`,
      })
      await bus.createQueue(queue.name)
      await schedule.run()
      expect(schedule).toMatchObject({ runs: 2, failures: 1, lastError: null })
    },
    needs,
  )

  test(
    'schedules survive a restart, with their pauses and what they have done',
    async ({ open }) => {
      const opened = await open()
      const queue = await opened.bus.createQueue('q')
      const kept = await opened.bus.schedule('kept', yearly, queue, 'data')
      const paused = await opened.bus.schedule('paused', { every: '1h' }, queue, 1)
      await opened.bus.schedule('gone', yearly, queue, 1).then((one) => one.remove())
      await kept.run()
      await paused.pause()
      const bus = await opened.reopen()
      expect((await bus.schedules()).map((one) => one.name).sort()).toEqual(['kept', 'paused'])
      expect(await find(bus.schedules(), 'kept')).toMatchObject({ when: yearly, runs: 1, nextAt: kept.nextAt })
      const again = await find(bus.schedules(), 'paused')
      expect(again).toMatchObject({ paused: true, nextAt: null })
      await again?.resume()
      expect(again?.nextAt).not.toBeNull()
      await (await find(bus.schedules(), 'kept'))?.run()
      expect(await takeMessages(await bus.openQueue('q'), 2)).toMatchObject([{ data: 'data' }, { data: 'data' }])
    },
    { needs: 'restart' },
  )
})
