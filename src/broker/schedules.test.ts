// Schedules in virtual time: what is published when, what becomes of what was missed, and who may say so.
import { beforeAll, describe, expect, test } from 'vitest'
import { loadCronEngine } from '../cron-engine.ts'
import type { CronEngine } from '../model/cron.ts'
import { limits } from '../model/limits.ts'
import type { PutSchedule, ScheduleInfo } from '../model/schedule-command.ts'
import { LogStore } from '../store/log-store.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, declareQueue, openCore } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun, smallFolderOptions } from '../testing/sim-folder.ts'
import { Broker } from './broker.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

let engine: CronEngine

beforeAll(async () => {
  engine = await loadCronEngine()
})

type Values = Partial<Omit<PutSchedule, 'type' | 'body'>> & { readonly body?: string }

function put({ body = 'body', ...values }: Values = {}): PutSchedule {
  return {
    type: 'leveret.schedule-put',
    name: 's',
    timezone: 'UTC',
    missed: 'once',
    exchange: '',
    routingKey: 'q',
    mandatory: true,
    properties: { deliveryMode: 2 },
    ...(values.cron === undefined ? { everyMs: 1_000 } : {}),
    ...values,
    body: Buffer.from(body).toString('base64'),
  }
}

async function open(values: Parameters<typeof declareQueue>[1] = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore({ loadCronEngine: async () => engine })
  const channel = await core.channel()
  channel.ask(declareQueue('q', values))
  return [core, channel]
}

function told(channel: CoreChannel, command: Parameters<CoreChannel['ask']>[0]): readonly ScheduleInfo[] {
  const reply = channel.ask(command)
  return reply.type === 'leveret.schedules' ? reply.schedules : []
}

function list(channel: CoreChannel): readonly ScheduleInfo[] {
  return told(channel, { type: 'leveret.schedule-list' })
}

/** As `told`, for the first that needs the cron engine. */
async function toldLater(
  core: Core,
  channel: CoreChannel,
  command: PutSchedule,
): Promise<readonly ScheduleInfo[] | string> {
  const id = channel.give(command)
  for (let turns = 0; turns < 10; turns++) {
    await new Promise((resolve) => setImmediate(resolve))
    core.settle()
  }
  const reply = channel.replies.get(id)
  return reply?.type === 'leveret.schedules' ? reply.schedules : (channel.error?.message ?? 'no answer')
}

/** The times for which the messages in the queue were published, in order; it is empty then. */
function dues(channel: CoreChannel, queue = 'q'): number[] {
  const found: number[] = []
  for (;;) {
    const reply = channel.get(queue, true)
    if (reply.type !== 'basic.get-ok') return found
    found.push(reply.message.decodeProperties().headers?.get('x-leveret-scheduled-at')?.value as number)
  }
}

describe('a schedule by a time between two runs', () => {
  test('publishes each time from when it was made, and no run moves the next', async () => {
    const [core, channel] = await open()
    core.clock.advance(300)
    expect(told(channel, put())).toMatchObject([{ everyMs: 1_000, cron: null, nextAt: 1_300, runs: 0, lastAt: null }])
    core.clock.advance(999)
    expect(dues(channel)).toEqual([])
    core.clock.advance(3_001)
    expect(dues(channel)).toEqual([1_300, 2_300, 3_300, 4_300])
    expect(list(channel)).toMatchObject([{ nextAt: 5_300, runs: 4, lastAt: 4_300, missed: 0, failures: 0 }])
  })

  test('says in the message who published it and for when, beside what was asked for', async () => {
    const [core, channel] = await open()
    const properties = { contentType: 'text/plain', deliveryMode: 2, headers: { colour: 'red' }, priority: 3 }
    channel.ask(put({ body: 'hello', properties }))
    core.clock.advance(1_000)
    const reply = channel.get('q', true)
    if (reply.type !== 'basic.get-ok') throw new Error('it is there')
    const { headers, ...others } = reply.message.decodeProperties()
    expect(reply.message.body.toString()).toBe('hello')
    expect(others).toEqual({ contentType: 'text/plain', deliveryMode: 2, priority: 3, messageId: 's:1000' })
    expect([...(headers ?? [])]).toEqual([
      ['colour', { tag: 'S', value: 'red' }],
      ['x-leveret-schedule', { tag: 'S', value: 's' }],
      ['x-leveret-scheduled-at', { tag: 'l', value: 1_000 }],
    ])
  })

  test('publishes to an exchange, and is no failure where nobody has to listen', async () => {
    const [core, channel] = await open()
    channel.ask(put({ exchange: 'amq.topic', routingKey: 'image.resized', mandatory: false }))
    core.clock.advance(1_000)
    channel.bind('q', 'amq.topic', 'image.*')
    core.clock.advance(1_000)
    expect(dues(channel)).toEqual([2_000])
    expect(list(channel)).toMatchObject([{ runs: 2, failures: 0 }])
  })

  test('and others publish each in its time', async () => {
    const [core, channel] = await open()
    for (let at = 1; at <= 50; at++) channel.ask(put({ name: `s${at}`, everyMs: 100 * at }))
    core.clock.advance(5_000)
    const found = dues(channel)
    expect(found).toEqual([...found].sort((one, other) => one - other))
    let expected = 0
    for (let at = 1; at <= 50; at++) expected += Math.floor(50 / at)
    expect(found).toHaveLength(expected)
  })
})

describe('a schedule by a cron expression', () => {
  test('publishes when it says', async () => {
    const [core, channel] = await open()
    const cron = '0 3 * * *'
    const made = await toldLater(core, channel, put({ cron, timezone: 'Asia/Shanghai' }))
    expect(made).toMatchObject([{ cron, everyMs: null, timezone: 'Asia/Shanghai', nextAt: 19 * hourMs }])
    core.clock.advance(2 * dayMs)
    expect(dues(channel)).toEqual([19 * hourMs, 19 * hourMs + dayMs])
  })

  test('is refused with the reason where there is no engine for it', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.ask(declareQueue('q'))
    expect(channel.refusal(put({ cron: '0 3 * * *' }))).toContain('needs a cron engine, and there is none')
  })

  test('is told what is wrong with it when it is made', async () => {
    for (const [cron, timezone, reason] of [
      ['61 * * * *', 'UTC', /^PRECONDITION_FAILED - the cron expression '61 \* \* \* \*' in 'UTC': .*minute: 61/],
      ['0 0 30 2 *', 'UTC', /^PRECONDITION_FAILED - the schedule 's': '0 0 30 2 \*' is a time that never comes/],
      ['0 3 * * *', 'Nowhere', /'Nowhere' is no time zone/],
      [`0 3 ${'*'.repeat(300)}`, 'UTC', /has 304 characters, at most 256/],
    ] as const) {
      const [core, channel] = await open()
      expect(await toldLater(core, channel, put({ cron, timezone }))).toMatch(reason)
    }
  })
})

describe('what was missed while nothing was published', () => {
  test.each([
    ['once', [10_000, 11_000], 6],
    ['skip', [11_000], 7],
    ['all', [4_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000, 11_000], 0],
  ] as const)('by a pause is made up for as `%s` says', async (missed, expected, count) => {
    const [core, channel] = await open()
    channel.ask(put({ missed }))
    core.clock.advance(3_500)
    expect(dues(channel)).toEqual([1_000, 2_000, 3_000])
    expect(told(channel, { type: 'leveret.schedule-pause', name: 's', paused: true })).toMatchObject([
      { paused: true, nextAt: null },
    ])
    core.clock.advance(7_000)
    expect(dues(channel)).toEqual([])
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: false })
    core.clock.advance(1_000)
    expect(dues(channel)).toEqual(expected)
    expect(list(channel)).toMatchObject([{ paused: false, nextAt: 12_000, missed: count }])
  })

  test('is made up for a thousand times at most, with the last ones', async () => {
    const [core, channel] = await open()
    channel.ask(put({ missed: 'all', everyMs: 100 }))
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: true })
    core.clock.advance(150_000)
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: false })
    core.clock.advance(1)
    const found = dues(channel)
    expect(found).toHaveLength(limits.missedRunsMax)
    expect([found[0], found.at(-1)]).toEqual([50_100, 150_000])
    expect(list(channel)).toMatchObject([{ missed: 500, runs: 1_000 }])
  })

  test('stays paused and is not made up for when the schedule is made again with other data', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: true })
    core.clock.advance(5_000)
    channel.ask(put({ body: 'other' }))
    core.clock.advance(5_000)
    expect(list(channel)).toMatchObject([{ paused: true, runs: 0 }])
    expect(dues(channel)).toEqual([])
  })
})

describe('a schedule that is made again', () => {
  test('in the same words keeps its next time and what it has done', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    core.clock.advance(1_500)
    expect(told(channel, put())).toMatchObject([{ nextAt: 2_000, runs: 1 }])
    core.clock.advance(1_000)
    expect(dues(channel)).toEqual([1_000, 2_000])
  })

  test('with other data keeps its times', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    core.clock.advance(1_500)
    expect(told(channel, put({ body: 'new' }))).toMatchObject([{ nextAt: 2_000, runs: 1 }])
    channel.drain('q')
    core.clock.advance(500)
    expect(channel.drain('q')).toEqual(['new'])
  })

  test('with another time begins anew, and the old time is over', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    core.clock.advance(1_500)
    expect(told(channel, put({ everyMs: 2_000 }))).toMatchObject([{ nextAt: 3_500, runs: 1 }])
    core.clock.advance(2_100)
    expect(dues(channel)).toEqual([1_000, 3_500])
    expect(list(channel)).toHaveLength(1)
  })
})

describe('a schedule', () => {
  test('that is removed publishes nothing more; to remove what is not there is no error', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    expect(told(channel, { type: 'leveret.schedule-remove', name: 's' })).toMatchObject([{ name: 's' }])
    expect(told(channel, { type: 'leveret.schedule-remove', name: 's' })).toEqual([])
    core.clock.advance(5_000)
    expect(dues(channel)).toEqual([])
    expect(list(channel)).toEqual([])
  })

  test('that is run publishes at once, also while it is paused, and is due as before', async () => {
    const [core, channel] = await open()
    channel.ask(put())
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: true })
    core.clock.advance(300)
    expect(told(channel, { type: 'leveret.schedule-run', name: 's' })).toMatchObject([{ runs: 1, lastAt: 300 }])
    channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: false })
    core.clock.advance(700)
    expect(dues(channel)).toEqual([300, 1_000])
  })

  test('whose queue is gone fails, says so, and goes on when it is there again', async () => {
    const [core, channel] = await open()
    const reported: string[] = []
    core.broker.onDamage((error) => reported.push(error.message))
    channel.ask(put())
    channel.deleteQueue('q')
    core.clock.advance(2_000)
    expect(list(channel)).toMatchObject([{ runs: 2, failures: 2, lastError: "queue 'q' is gone", nextAt: 3_000 }])
    expect(reported).toHaveLength(2)
    expect(reported[0]).toMatch(/^E_UNROUTABLE: schedule 's': queue 'q' is gone/)
    channel.declareQueue('q')
    core.clock.advance(1_000)
    expect(dues(channel)).toEqual([3_000])
    expect(list(channel)).toMatchObject([{ runs: 3, failures: 2, lastError: null }])
  })

  test('whose queue is full, or whose exchange is gone, fails as well', async () => {
    const [core, channel] = await open({ arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
    channel.declareExchange('x', 'direct')
    channel.bind('q', 'x', 'key')
    channel.ask(put())
    channel.ask(put({ name: 'x', exchange: 'x', routingKey: 'key' }))
    channel.ask(put({ name: 'lost', exchange: 'x', routingKey: 'nowhere' }))
    core.clock.advance(1_000)
    const errors = (): (string | null)[] => list(channel).map(({ lastError }) => lastError)
    expect(errors()).toEqual([null, "a queue behind exchange 'x' is full", "exchange 'x' has no queue for 'nowhere'"])
    channel.deleteExchange('x')
    core.clock.advance(1_000)
    expect(errors()).toEqual(["queue 'q' is full", "exchange 'x' is gone", "exchange 'x' is gone"])
  })

  test.each([
    [{ name: '' }, /^PRECONDITION_FAILED - the name of a schedule has 1 to 200 bytes, not 0/],
    [{ name: 'n'.repeat(201) }, /not 201/],
    [{ body: 'x'.repeat(65_537) }, /its body has 65537 bytes, at most 65536 are kept/],
    [{ everyMs: 99 }, /everyMs is 99, and has to be from 100 to/],
    [{ cron: '* * * * *', everyMs: 100 }, /one of cron and everyMs says when/],
    [{ exchange: 'leveret.control', routingKey: 'queues' }, /the broker is not asked by a schedule/],
    [{ routingKey: 'none' }, /^NOT_FOUND - no queue 'none' in vhost '\/'/],
    [{ exchange: 'none' }, /^NOT_FOUND - no exchange 'none' in vhost '\/'/],
    [{ exchange: 'amq.rabbitmq.trace' }, /^ACCESS_REFUSED - cannot publish to internal exchange/],
    [{ properties: { expiration: 'soon' } }, /^PRECONDITION_FAILED - invalid expiration 'soon'/],
    [{ properties: { headers: 1 } }, /^PRECONDITION_FAILED - the schedule 's': headers is no object/],
    [{ properties: { type: 't'.repeat(256) } }, /^SYNTAX_ERROR/],
  ] as [Values, RegExp][])('that cannot be is refused: %j', async (values, reason) => {
    const [core, channel] = await open()
    expect(await toldLater(core, channel, put(values))).toMatch(reason)
    expect(list(await core.channel())).toEqual([])
  })

  test('finds room among so many, and what is replaced or removed makes room', async () => {
    const [, channel] = await open()
    const body = 'x'.repeat(60_000)
    let made = 0
    while (channel.refusal(put({ name: `s${made}`, body })) === '') made++
    expect(channel.error?.text).toContain('has no room')
    expect(made * 80_000).toBeLessThanOrEqual(limits.schedulesBytesMax)
    expect((made + 2) * 80_000).toBeGreaterThan(limits.schedulesBytesMax)
    const again = channel.sibling()
    again.ask(put({ name: 's0' }))
    again.ask({ type: 'leveret.schedule-remove', name: 's1' })
    again.ask(put({ name: 'one more', body }))
    again.ask(put({ name: 'and another', body }))
    expect(again.refusal(put({ name: 'too many', body }))).toContain('RESOURCE_ERROR')
  })

  test('may be changed as often as anybody likes, and is due as it is now', async () => {
    const [core, channel] = await open()
    for (let at = 0; at < 500; at++) {
      channel.ask(put({ everyMs: 1_000 + at }))
      channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: true })
      channel.ask({ type: 'leveret.schedule-pause', name: 's', paused: false })
    }
    core.clock.advance(3_000)
    expect(dues(channel)).toEqual([1_499, 2_998])
  })

  test('goes with its virtual host, and is of no other', async () => {
    const [core, channel] = await open()
    channel.ask({ type: 'leveret.put-virtual-host', virtualHost: 'h', metadata: {} })
    const there = (await core.session(null, 'h')).channel()
    there.ask(declareQueue('q'))
    there.ask(put())
    channel.ask(put())
    channel.ask({ type: 'leveret.schedule-remove', name: 's' })
    core.clock.advance(1_000)
    expect([dues(channel), dues(there)]).toEqual([[], [1_000]])
    channel.ask({ type: 'leveret.delete-virtual-host', virtualHost: 'h' })
    channel.ask({ type: 'leveret.put-virtual-host', virtualHost: 'h', metadata: {} })
    expect(list((await core.session(null, 'h')).channel())).toEqual([])
  })

  test('waits while publishers are blocked, and then makes up for what it missed', async () => {
    const [core, channel] = await open()
    channel.ask(put({ missed: 'all' }))
    core.broker.lowOnDisk(true)
    core.clock.advance(5_000)
    expect(dues(channel)).toEqual([])
    core.broker.lowOnDisk(false)
    core.clock.advance(1_000)
    expect(dues(channel)).toEqual([1_000, 2_000, 3_000, 4_000, 5_000, 6_000])
  })

  test('is told to those alone who may do something with it', async () => {
    const [core, channel] = await open()
    channel.ask({ type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256', tags: [] })
    channel.ask({
      type: 'leveret.put-permission',
      user: 'u',
      virtualHost: '/',
      configure: '^mine',
      write: '^events$',
      read: '',
    })
    channel.ask(put())
    channel.declareExchange('events', 'topic')
    const user = await core.channelOf('u')
    const event = { exchange: 'events', routingKey: 'a', mandatory: false }
    expect(told(user, put({ name: 'mine', ...event }))).toHaveLength(1)
    expect(list(user).map(({ name }) => name)).toEqual(['mine'])
    expect(user.refusal(put({ name: 'mine' }))).toContain("write access to exchange 'amq.default'")
  })
})

test('a message and what is next are in one frame of the log, and the answer comes when that is durable', async () => {
  const store = new ControlledStore()
  const core = await openCore({ store })
  const channel = await core.channel()
  channel.give(declareQueue('q', { durable: true }))
  core.settle()
  store.sync()
  core.settle()
  channel.give(put({ body: 'hello' }))
  core.settle()
  expect([...channel.replies.values()].map(({ type }) => type)).toEqual(['queue.declare-ok'])
  store.sync()
  core.settle()
  expect([...channel.replies.values()].at(-1)?.type).toBe('leveret.schedules')
  const before = store.frames.length
  core.clock.advance(1_000)
  expect(store.frames.slice(before)).toEqual([
    [
      expect.stringMatching(/^publish hello to 1:/),
      expect.stringMatching(/^note \["\/","s","progress"\] .*"nextMs":2000/),
    ],
  ])
})

describe('asked through leveret.control', () => {
  async function ask(core: Core, channel: CoreChannel, key: string, body: object): Promise<string> {
    channel.publish('leveret.control', key, JSON.stringify(body), { properties: { replyTo: 'answers' } })
    // Not inside the call that published the request.
    await new Promise((resolve) => setImmediate(resolve))
    core.settle()
    const reply = channel.get('answers', true)
    if (reply.type !== 'basic.get-ok') return 'none'
    return `${reply.message.decodeProperties().type} ${reply.message.body.toString()}`
  }

  test('a schedule is made, listed, run, paused and removed', async () => {
    const [core, channel] = await open()
    channel.ask(declareQueue('answers'))
    const { type: _type, ...fields } = put()
    for (const [key, body, expected] of [
      ['schedule-put', fields, 'leveret.schedules [{"name":"s",'],
      ['schedule-list', {}, '"nextAt":1000'],
      ['schedule-run', { name: 's' }, '"runs":1'],
      ['schedule-pause', { name: 's', paused: true }, '"paused":true'],
      ['schedule-remove', { name: 's' }, '"name":"s"'],
      ['schedule-list', {}, '[]'],
      ['schedule-run', { name: 's' }, 'NOT_FOUND'],
      ['schedule-pause', { name: 's' }, 'schedule-pause: paused is missing'],
      ['schedule-put', { ...fields, missed: 'never' }, 'schedule-put: missed cannot be'],
    ] as const) {
      expect(await ask(core, channel, key, body), key).toContain(expected)
    }
  })
})

describe('on a folder', () => {
  function folder(): SimFolder {
    const world = new SimFolder()
    world.engines.loadCronEngine = async () => engine
    return world
  }

  async function dueIn(run: SimFolderRun): Promise<number[]> {
    const found: number[] = []
    for (;;) {
      const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck: true })
      await run.settle(0)
      // The message may have to be read.
      while (!run.channel.replies.has(id)) {
        if (run.channel.error !== null) throw run.channel.error
        await run.settle(1)
      }
      const reply = run.channel.replies.get(id)
      if (reply?.type !== 'basic.get-ok') return found
      found.push(reply.message.decodeProperties().headers?.get('x-leveret-scheduled-at')?.value as number)
    }
  }

  async function listed(run: SimFolderRun): Promise<readonly ScheduleInfo[]> {
    const id = run.channel.give({ type: 'leveret.schedule-list' })
    await run.settle()
    const reply = run.channel.replies.get(id)
    return reply?.type === 'leveret.schedules' ? reply.schedules : []
  }

  async function started(values: Values): Promise<[SimFolder, SimFolderRun, number]> {
    const world = folder()
    const run = await world.open()
    await run.declare('q')
    run.channel.give(put(values))
    await run.settle()
    const [{ nextAt } = { nextAt: null }] = await listed(run)
    return [world, run, nextAt as number]
  }

  test.each([
    ['once', 1],
    ['skip', 0],
    ['all', 5],
  ] as const)('what was missed while no broker was up is made up for as `%s` says', async (missed, count) => {
    const [world, run, firstMs] = await started({ missed, everyMs: hourMs })
    await run.settle(hourMs)
    expect(await dueIn(run)).toEqual([firstMs])
    await run.close()
    await world.clock.advance(5.5 * hourMs)
    const again = await world.open()
    await again.settle()
    const expected = [1, 2, 3, 4, 5].map((at) => firstMs + at * hourMs).slice(5 - count)
    expect(await dueIn(again)).toEqual(expected)
    expect(await listed(again)).toMatchObject([{ runs: 1 + count, missed: 5 - count, nextAt: firstMs + 6 * hourMs }])
  })

  test('a run that is due while the broker is up is no missed one, and comes in its time', async () => {
    const [world, run, firstMs] = await started({ missed: 'skip', cron: '*/10 * * * *' })
    await run.settle(3 * hourMs)
    expect(await dueIn(run)).toHaveLength(18)
    // Acknowledgements wait a tenth of a second for company.
    await run.settle(1_000)
    world.kill(true)
    const again = await world.open()
    await again.settle(hourMs)
    expect(await dueIn(again)).toHaveLength(6)
    expect(await listed(again)).toMatchObject([{ runs: 24, missed: 0, nextAt: firstMs + 4 * hourMs }])
  })

  test('who only looks after the folder publishes nothing, and what was due then is due still', async () => {
    const [world, run, firstMs] = await started({ missed: 'all', everyMs: hourMs })
    await run.close()
    await world.clock.advance(2.5 * hourMs)
    const store = new LogStore(world.platform, '/data', smallFolderOptions)
    const options = { memoryBytesMax: 1_000_000_000, runsSchedules: false }
    const broker = await world.clock.run(Broker.open(world.platform, store, options))
    await world.clock.advance(hourMs)
    await world.clock.run(broker.close())
    const again = await world.open()
    await again.settle()
    expect(await dueIn(again)).toEqual([0, 1, 2].map((at) => firstMs + at * hourMs))
  })

  test('a clock that jumps forward brings what it passed, as the schedule says, within half a minute', async () => {
    for (const [missed, count] of [
      ['once', 1],
      ['skip', 0],
      ['all', 24],
    ] as const) {
      const [world, run, firstMs] = await started({ missed, everyMs: hourMs })
      world.clock.jumpRealtime(dayMs + 1_800_000)
      await run.settle(30_000)
      const found = await dueIn(run)
      expect(found, missed).toHaveLength(count)
      if (count > 0) expect(found.at(-1)).toBe(firstMs + 23 * hourMs)
      expect(await listed(run)).toMatchObject([{ nextAt: firstMs + 24 * hourMs, missed: 24 - count }])
    }
  })

  test('a clock that is set back by an hour brings nothing twice', async () => {
    const [world, run, firstMs] = await started({ everyMs: hourMs / 2 })
    await run.settle(hourMs)
    world.clock.jumpRealtime(-hourMs)
    await run.settle(2 * hourMs)
    const found = await dueIn(run)
    expect(new Set(found).size).toBe(found.length)
    expect(found).toEqual([0, 1, 2, 3].map((at) => firstMs + (at * hourMs) / 2))
  })

  test.each(['while it is up', 'while it is down'])(
    'a clock that was a day ahead and is set right, %s, silences nobody for a day',
    async (when) => {
      const [world, run, firstMs] = await started({ everyMs: hourMs })
      await run.settle(hourMs)
      expect(await dueIn(run)).toEqual([firstMs])
      let later = run
      if (when === 'while it is down') await run.close()
      world.clock.jumpRealtime(-dayMs)
      if (when === 'while it is down') later = await world.open()
      await later.settle(2 * hourMs)
      expect(await dueIn(later)).toEqual([firstMs - 23 * hourMs, firstMs - 22 * hourMs])
    },
  )

  test('it is in checkpoints: the log from before is not needed, and nothing comes twice', async () => {
    const [world, run, firstMs] = await started({ everyMs: 100, missed: 'all' })
    await run.settle(60_000)
    const before = await dueIn(run)
    await run.settle(5_000)
    expect(world.files()).not.toContain('log/0000000001.log')
    world.kill(true)
    const again = await world.open()
    await again.settle(1_000)
    const after = await dueIn(again)
    const all = [...before, ...after.filter((due) => due > (before.at(-1) as number))]
    expect(all).toEqual(all.map((_due, at) => firstMs + at * 100))
  })
})
