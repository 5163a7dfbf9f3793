// Messages whose bodies are in files: as good as any other, through everything that can become of a message.
import { describe, expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { bindCommand, CoreSession, consume, declareQueue, hostLogin } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const large = 4_001

function bodyOf(name: string, bytes = large): string {
  return `${name} ${'.'.repeat(bytes - name.length - 1)}`
}

async function open(): Promise<[SimFolder, SimFolderRun]> {
  const folder = new SimFolder()
  const run = await folder.open()
  await run.declare('q', 'r')
  return [folder, run]
}

function filesOf(folder: SimFolder): string[] {
  return folder.files().filter((name) => name.startsWith('body/'))
}

async function names(run: SimFolderRun, queue = 'q'): Promise<string[]> {
  return (await run.take(queue)).map((body) => `${body.split(' ')[0]} ${body.length}`)
}

/** Lets settlements become durable, and files go. */
async function rest(run: SimFolderRun): Promise<void> {
  await run.settle(200)
}

describe('a message whose body is in a file', () => {
  test('comes whole and in its turn, and the file goes with it', async () => {
    const [folder, run] = await open()
    run.postLarge('q', bodyOf('a', 10_000))
    await run.settle()
    await run.publish('q', 'b')
    run.postLarge('q', bodyOf('c', 5_000))
    await run.settle()
    expect(run.confirmed.map((body) => body.length)).toEqual([10_000, 1, 5_000])
    expect(filesOf(folder)).toEqual(['body/0000000001.body', 'body/0000000002.body'])
    expect(await names(run)).toEqual(['a 10000', 'b 1', 'c 5000'])
    await rest(run)
    expect(filesOf(folder)).toEqual([])
  })

  test('is confirmed only when body and record are on the disk', async () => {
    const [folder, run] = await open()
    run.postLarge('q', bodyOf('a'))
    while (run.confirmed.length === 0) await run.settle(1)
    folder.kill(true)
    expect(await names(await folder.open())).toEqual([`a ${large}`])
  })

  test('survives the end of the broker, with a checkpoint and without, and goes when it is taken then', async () => {
    for (const how of ['close', 'kill'] as const) {
      const [folder, run] = await open()
      run.postLarge('q', bodyOf('a'))
      run.postLarge('q', bodyOf('b'))
      await rest(run)
      if (how === 'close') await run.close()
      else folder.kill(true)
      const again = await folder.open()
      expect(await names(again), how).toEqual([`a ${large}`, `b ${large}`])
      await rest(again)
      expect(filesOf(folder), how).toEqual([])
    }
  })

  test('that was taken is gone after a crash, and so is its file', async () => {
    const [folder, run] = await open()
    run.postLarge('q', bodyOf('a'))
    run.postLarge('q', bodyOf('b'))
    await rest(run)
    expect((await run.take('q', 1)).length).toBe(1)
    await rest(run)
    await run.settle(2_000)
    folder.kill(true)
    const again = await folder.open()
    expect(filesOf(folder)).toEqual(['body/0000000002.body'])
    expect(await names(again)).toEqual([`b ${large}`])
  })

  test('that was taken stays until that is durable, also when the first one of this life is stored meanwhile', async () => {
    for (const durability of ['fsync', 'write', 'none'] as const) {
      for (let delayMs = 90; delayMs < 110; delayMs += 0.5) {
        const folder = new SimFolder(Math.floor(delayMs * 2))
        const before = await folder.open('/data', { durability })
        await before.declare('q')
        before.postLarge('q', bodyOf('a'))
        await before.settle(500)
        await before.close()
        const run = await folder.open('/data', { durability })
        run.channel.give(consume('q'))
        await run.settle(100)
        run.channel.port.ack(1, false)
        // About now the log is told.
        await run.settle(delayMs)
        run.postLarge('q', bodyOf('b'))
        for (let ms = 0; ms < 30 && filesOf(folder).includes('body/0000000001.body'); ms++) await run.settle(1)
        folder.kill(true)
        await folder.open()
      }
    }
  })

  test('is whole for whoever asked for it before its queue was deleted', async () => {
    for (const windowBytesMax of [1, 20_000]) {
      for (const noAck of [true, false]) {
        const folder = new SimFolder(7)
        const before = await folder.open('/data', { windowBytesMax })
        await before.declare('q')
        for (const name of ['a', 'b']) before.postLarge('q', bodyOf(name))
        await rest(before)
        await before.close()
        const run = await folder.open('/data', { windowBytesMax })
        const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck })
        run.channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
        await rest(run)
        const reply = run.channel.replies.get(id)
        expect(reply?.type === 'basic.get-ok' && reply.message.body.toString()).toBe(bodyOf('a'))
        expect(filesOf(folder)).toHaveLength(noAck ? 0 : 1)
        if (!noAck) run.channel.port.ack(1, false)
        await rest(run)
        expect(filesOf(folder)).toEqual([])
      }
    }
  })

  test('that somebody reads whose queue was deleted stays until the deletion is durable', async () => {
    for (const delayMs of [5, 10, 20, 40]) {
      const folder = new SimFolder(delayMs)
      const run = await folder.open('/data', { durability: 'write' })
      await run.declare('q')
      run.postLarge('q', bodyOf('a'))
      await run.settle(3_000)
      run.channel.give({ type: 'basic.get', queue: 'q', noAck: true })
      run.channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
      await run.settle(delayMs)
      folder.kill(true)
      await folder.open()
    }
  })

  test('is one file in however many queues, until the last of them has let go of it', async () => {
    const [folder, run] = await open()
    for (const queue of ['q', 'r']) run.channel.give(bindCommand('queue.bind', queue, 'amq.fanout', ''))
    await run.settle()
    run.postLarge('', bodyOf('a'), { exchange: 'amq.fanout' })
    await rest(run)
    expect(filesOf(folder)).toHaveLength(1)
    expect(await names(run)).toEqual([`a ${large}`])
    await rest(run)
    folder.kill()
    const again = await folder.open()
    expect(filesOf(folder)).toHaveLength(1)
    expect(await names(again, 'r')).toEqual([`a ${large}`])
    await rest(again)
    expect(filesOf(folder)).toEqual([])
  })

  test('that is transient has a file as long as the broker runs', async () => {
    const [folder, run] = await open()
    run.postLarge('q', bodyOf('a'), { persistent: false })
    run.postLarge('q', bodyOf('b'), { persistent: false })
    await rest(run)
    expect(await names(run)).toHaveLength(2)
    await rest(run)
    expect(filesOf(folder)).toEqual([])
    run.postLarge('q', bodyOf('c'), { persistent: false })
    await rest(run)
    await run.close()
    const again = await folder.open()
    expect(await names(again)).toEqual([])
    expect(filesOf(folder)).toEqual([])
  })

  test('goes with a purge, but not from under a consumer that holds it', async () => {
    const [folder, run] = await open()
    for (const name of ['a', 'b']) {
      run.postLarge('q', bodyOf(name))
      run.postLarge('q', bodyOf(name), { persistent: false })
    }
    await rest(run)
    const id = run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
    await rest(run)
    expect(run.channel.replies.get(id)?.type).toBe('basic.get-ok')
    run.channel.give({ type: 'queue.purge', queue: 'q' })
    await rest(run)
    expect(filesOf(folder)).toHaveLength(1)
    run.channel.port.reject(1, false, true)
    expect(await names(run)).toEqual([`a ${large}`])
    await rest(run)
    expect(filesOf(folder)).toEqual([])
  })

  test('goes with its queue', async () => {
    const [folder, run] = await open()
    run.postLarge('q', bodyOf('a'))
    run.postLarge('q', bodyOf('b'), { persistent: false })
    run.postLarge('r', bodyOf('c'))
    await rest(run)
    run.channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
    await rest(run)
    expect(filesOf(folder)).toHaveLength(1)
    expect(await names(run, 'r')).toEqual([`c ${large}`])
  })

  test('that nobody takes, or that is not committed, leaves no file', async () => {
    const [folder, run] = await open()
    run.postLarge('nowhere', bodyOf('a'))
    run.postLarge('nowhere', bodyOf('b'), { mandatory: true })
    await rest(run)
    expect(run.channel.takeLines().filter((line) => line.startsWith('return'))).toHaveLength(1)
    expect(filesOf(folder)).toEqual([])
    const other = run.onChannel(run.channel.sibling())
    other.channel.give({ type: 'tx.select' })
    other.postLarge('q', bodyOf('c'))
    await rest(run)
    expect(filesOf(folder)).toHaveLength(1)
    other.channel.give({ type: 'tx.rollback' })
    await rest(run)
    expect(filesOf(folder)).toEqual([])
    other.postLarge('q', bodyOf('d'))
    other.postLarge('q', bodyOf('e'))
    await rest(run)
    other.channel.give({ type: 'tx.commit' })
    await rest(run)
    expect((await names(run)).sort()).toEqual([`d ${large}`, `e ${large}`])
    other.postLarge('q', bodyOf('f'))
    await rest(run)
    other.channel.port.close()
    await rest(run)
    expect(filesOf(folder)).toEqual([])
  })

  test('keeps its body as a dead letter, through a delay, and under an idempotency key', async () => {
    const [folder, run] = await open()
    const table = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'r', 'x-message-ttl': 300 }
    run.channel.give(declareQueue('short', { durable: true, arguments: table }))
    run.postLarge('short', bodyOf('a'))
    run.postLarge('short', bodyOf('b'), { headers: { 'x-leveret-delay': 1_000 } })
    for (let at = 0; at < 2; at++) run.postLarge('q', bodyOf('c'), { headers: { 'x-leveret-idempotency-key': 'k' } })
    await rest(run)
    expect(filesOf(folder)).toHaveLength(3)
    folder.kill()
    const again = await folder.open()
    await again.settle(4_000)
    expect(await names(again, 'r')).toEqual([`a ${large}`, `b ${large}`])
    expect(await names(again)).toEqual([`c ${large}`])
    await rest(again)
    expect(filesOf(folder)).toEqual([])
  })

  test('is not lost to a consumer that wants no acknowledgements', async () => {
    const [folder, run] = await open()
    run.channel.give(consume('q', { noAck: true }))
    for (const persistent of [true, false]) run.postLarge('q', bodyOf('a'), { persistent })
    await rest(run)
    expect(run.channel.takeBodies()).toEqual([bodyOf('a'), bodyOf('a')])
    expect(filesOf(folder)).toEqual([])
  })

  test('waits with others for a consumer, far beyond the window', async () => {
    const [folder, run] = await open()
    for (let at = 0; at < 200; at++) {
      run.postLarge('q', bodyOf(String(at)))
      if (at % 20 === 0) await run.settle()
    }
    await run.settle(1_000)
    expect(filesOf(folder)).toHaveLength(200)
    expect((await names(run)).sort()).toEqual(Array.from({ length: 200 }, (_, at) => `${at} ${large}`).sort())
    await rest(run)
    expect(filesOf(folder)).toEqual([])
  })

  test('waits until there is room again on a full disk', async () => {
    const [folder, run] = await open()
    let isFull = true
    folder.disk.fault = ({ kind, path }) =>
      isFull && path.includes('/body/') && kind === 'write' ? { code: 'ENOSPC', bytesWritten: 300 } : null
    run.postLarge('q', bodyOf('a'))
    await run.settle(5_000)
    expect(run.confirmed).toEqual([])
    isFull = false
    await run.settle(1_100)
    expect(run.confirmed).toHaveLength(1)
    expect(await names(run)).toEqual([`a ${large}`])
  })

  test('counts for the room on the disk: publishers are told before it is full, and the reserve is given back when it is', async () => {
    const folder = new SimFolder()
    const options = { diskFreeBytesMin: 100_000, reserveBytes: 50_000 }
    const run = await folder.open('/data', options)
    await run.declare('q')
    const session = new CoreSession({ settle() {} })
    session.port = await folder.clock.run(run.broker.openSession(hostLogin, session))
    run.postLarge('q', bodyOf('a', 200_000))
    await run.settle(3_000)
    expect(folder.files()).toContain('reserve.bin')
    const used = folder.files().reduce((sum, name) => sum + folder.disk.contents(`/data/${name}`).length, 0)
    folder.disk.spaceBytesMax = used + 120_000
    const coming = run.bodies.create(60_000, { drained: () => {}, stored: () => {} })
    coming.write(Buffer.alloc(40_000), 0, 40_000)
    await run.settle(500)
    expect(session.lines).toEqual(['blocked low on disk'])
    run.postLarge('q', bodyOf('b', 110_000))
    await run.settle(3_000)
    expect(folder.files()).not.toContain('reserve.bin')
    expect(run.confirmed).toHaveLength(2)
  })

  test('ends the broker if its file cannot be synced: nothing that was not stored is confirmed', async () => {
    const [folder, run] = await open()
    let failure = ''
    run.broker.onFailure((error) => {
      failure = error.code
    })
    folder.disk.fault = ({ kind, path }) => (path.includes('/body/') && kind === 'sync' ? { code: 'EIO' } : null)
    run.postLarge('q', bodyOf('a'))
    await run.settle(500)
    expect([failure, run.confirmed]).toEqual(['E_STORAGE_FAILED', []])
    folder.disk.fault = null
    await expect(run.close()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
  })
})

describe('a body that is damaged', () => {
  async function damaged(): Promise<[SimFolder, SimFolderRun]> {
    const [folder, run] = await open()
    for (const name of ['a', 'b']) run.postLarge('q', bodyOf(name))
    await rest(run)
    return [folder, run]
  }

  test('is handed to nobody and reported; what is behind it goes on, and it is there after the next opening', async () => {
    const [folder, run] = await damaged()
    const told: string[] = []
    run.broker.onDamage((error) => told.push(error.message))
    folder.disk.flipBit('/data/body/0000000001.body', 2_500, 3)
    run.channel.give(consume('q'))
    await rest(run)
    expect(run.channel.takeBodies()).toEqual([bodyOf('b')])
    expect(told).toEqual([expect.stringMatching(/body\/0000000001\.body at 2056: .*does not match its checksum/)])
    folder.kill()
    const again = await folder.open()
    expect(again.broker.report.messages).toBe(2)
  })

  test('goes by a consumer that wants no acknowledgements: what is behind it comes, and the channel goes on', async () => {
    const [folder, run] = await damaged()
    const told: string[] = []
    run.broker.onDamage((error) => told.push(error.message))
    folder.disk.flipBit('/data/body/0000000001.body', 2_500, 3)
    run.channel.give(consume('q', { noAck: true }))
    await rest(run)
    expect([run.channel.error, run.channel.takeBodies(), told.length]).toEqual([null, [bodyOf('b')], 1])
    await run.publish('q', 'c')
    expect(run.channel.takeBodies()).toEqual(['c'])
  })

  test('does not hold those of its key', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    run.channel.give(declareQueue('keyed', { durable: true, arguments: { 'x-leveret-keyed': true } }))
    run.postLarge('keyed', bodyOf('a'), { headers: { 'x-leveret-key': 'k' } })
    await rest(run)
    for (const body of ['b', 'c']) run.post('keyed', body, { 'x-leveret-key': 'k' })
    await rest(run)
    folder.disk.flipBit('/data/body/0000000001.body', 2_500, 3)
    run.channel.onDelivered = ({ tag }) => run.channel.port.ack(tag, false)
    run.channel.give(consume('keyed'))
    await rest(run)
    expect(run.channel.takeBodies()).toEqual(['b', 'c'])
  })

  test('costs whoever asks for it his channel once, and is handed to nobody who asks then', async () => {
    const [folder, run] = await damaged()
    folder.disk.flipBit('/data/body/0000000001.body', 2_500, 3)
    const first = run.onChannel(run.channel.sibling())
    first.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
    await rest(run)
    expect(first.channel.error?.code).toBe('INTERNAL_ERROR')
    first.channel.port.close()
    expect(await names(run)).toEqual([`b ${large}`])
    await rest(run)
    folder.kill()
    expect((await folder.open()).broker.report.messages).toBe(1)
  })

  test.each([
    [true, false],
    [false, false],
    [false, true],
  ])('is no message for whoever asks before it was read (noAck: %s, and fails: %s)', async (noAck, fails) => {
    const [folder, run] = await open()
    for (const queue of ['q', 'r']) run.channel.give(bindCommand('queue.bind', queue, 'amq.fanout', ''))
    run.postLarge('', bodyOf('a'), { exchange: 'amq.fanout' })
    await rest(run)
    run.postLarge('q', bodyOf('b'))
    await rest(run)
    await run.close()
    folder.disk.flipBit('/data/body/0000000001.body', 2_500, 3)
    const again = await folder.open()
    // What it is found out by in one queue is known in the other.
    const finder = again.onChannel(again.channel.sibling())
    finder.channel.give(consume('r'))
    await rest(again)
    const first = again.onChannel(again.channel.sibling())
    first.channel.give({ type: 'basic.get', queue: 'q', noAck })
    if (fails) first.channel.port.ack(77, false)
    await rest(again)
    expect(first.channel.error?.text).toContain('the message cannot be read from the disk')
    expect(await names(again)).toEqual([`b ${large}`])
    await again.close()
    expect((await folder.open()).broker.report.messages).toBe(2)
  })

  test('or missing is found when the folder is opened, which salvage does without it', async () => {
    const [folder, run] = await damaged()
    await run.close()
    await folder.clock.run(folder.disk.remove('/data/body/0000000001.body'))
    await expect(folder.open()).rejects.toThrow(/body\/0000000001\.body .*the file is missing/)
    folder.kill()
    const salvaged = await folder.open('/data', { salvage: true })
    expect(salvaged.broker.report.notes.join()).toContain('body/0000000001.body: the file is missing')
    salvaged.channel.give(consume('q'))
    await rest(salvaged)
    expect(salvaged.channel.takeBodies()).toEqual([bodyOf('b')])
  })

  test('or missing is gone for good after a salvage: the folder opens as always then', async () => {
    const [folder, run] = await damaged()
    await run.close()
    await folder.clock.run(folder.disk.remove('/data/body/0000000001.body'))
    await (await folder.open('/data', { salvage: true })).close()
    const again = await folder.open()
    expect(again.broker.report).toMatchObject({ messages: 1, notes: [] })
    expect(await names(again)).toEqual([`b ${large}`])
  })
})

const seeds = Number(process.env['LEVERET_BODY_SEEDS'] ?? '40')
const firstSeed = Number(process.env['LEVERET_BODY_SEED'] ?? '1')

/** Publishes, takes, purges and gives back large and small messages while the broker ends in every way. */
class History {
  private readonly prng: Prng
  private readonly folder: SimFolder
  private run!: SimFolderRun
  /** What was published, and what may have become of it. */
  private readonly unsure = new Set<string>()
  private readonly stored = new Set<string>()
  private readonly gone = new Set<string>()
  private count = 0
  readonly problems: string[] = []

  constructor(seed: number) {
    this.prng = new Prng(seed)
    this.folder = new SimFolder(seed)
  }

  async play(): Promise<readonly string[]> {
    const { prng } = this
    await this.open()
    await this.run.declare('q', 'r')
    for (let step = 0; step < 30; step++) {
      const kind = prng.below(12)
      if (kind < 5) this.publish(1 + prng.below(4))
      else if (kind < 7) await this.wait(prng.below(prng.chance(0.3) ? 1_500 : 60))
      else if (kind < 9) await this.take(1 + prng.below(4))
      else if (kind === 9 && prng.chance(0.3)) await this.purge()
      else await this.reopen(prng.chance(0.3) ? 'close' : prng.chance(0.5) ? 'kill' : 'power')
    }
    await this.reopen('close')
    await this.take(Number.POSITIVE_INFINITY)
    for (const body of this.stored) this.problems.push(`${body.slice(0, 20)} was stored and is not there`)
    await this.run.settle(300)
    const left = filesOf(this.folder)
    if (left.length > 0) this.problems.push(`left behind: ${left.join()}`)
    return this.problems
  }

  private publish(count: number): void {
    const { prng } = this
    for (let at = 0; at < count; at++) {
      const bytes = prng.chance(0.6) ? 4_001 + prng.below(9_000) : 20 + prng.below(200)
      const body = bodyOf(String(++this.count), bytes)
      const persistent = prng.chance(0.8)
      this.unsure.add(body)
      if (bytes > 4_000) this.run.postLarge('q', body, { persistent })
      else this.run.channel.post('', 'q', body, { persistent })
      if (!persistent) this.gone.add(body)
    }
  }

  private async wait(ms: number): Promise<void> {
    await this.run.settle(ms)
    this.note()
  }

  private note(): void {
    for (const body of this.run.confirmed) {
      if (this.unsure.delete(body) && !this.gone.has(body)) this.stored.add(body)
    }
  }

  private async take(count: number): Promise<void> {
    for (const body of await this.run.take('q', count)) {
      const isKnown = this.unsure.has(body) || this.stored.has(body) || this.gone.has(body)
      if (!isKnown) this.problems.push(`${body.slice(0, 20)} of ${body.length} bytes is nothing that was published`)
      // Until what says so is durable it may come again.
      this.stored.delete(body)
      this.gone.add(body)
    }
    this.note()
    for (const body of this.gone) this.stored.delete(body)
  }

  private async purge(): Promise<void> {
    this.run.channel.give({ type: 'queue.purge', queue: 'q' })
    for (const body of [...this.unsure, ...this.stored]) this.gone.add(body)
    this.stored.clear()
    await this.run.settle()
  }

  private async open(): Promise<void> {
    const checkpointMs = this.prng.chance(0.5) ? 300 : 100_000
    this.run = await this.folder.open('/data', { checkpointMs, windowBytesMax: this.prng.chance(0.5) ? 2_000 : 20_000 })
  }

  private async reopen(how: 'close' | 'kill' | 'power'): Promise<void> {
    this.note()
    if (how === 'close') await this.run.close()
    else this.folder.kill(how === 'power')
    await this.open()
  }
}

test(`in ${seeds} histories of kills and power cuts none is lost, none is another, and no file stays behind`, async () => {
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    expect(await new History(seed).play(), `seed ${seed}`).toEqual([])
  }
}, 120_000)
