// What a queue remembers: order, what was settled, what is in memory, and how many live entries each segment still has.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assert } from '../lib/assert.ts'
import type { Message, Residence } from '../model/message.ts'
import { corePlatform, makeMessage } from '../testing/core-harness.ts'
import { entryOf } from '../testing/page-entry.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimDisk } from '../testing/sim-disk.ts'
import type { AwaitingMessage, Entry } from './entry.ts'
import type { MessageReceiver } from './message-read.ts'
import { PageFiles } from './page-files.ts'
import { QueueIndex } from './queue-index.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import { entryOverheadBytes, ResidentMemory } from './resident-memory.ts'

const recordExtraBytes = 40

/** A log that remembers every message by its offset, and reads when the test says so. */
class FakeLog implements IndexBacking {
  readonly clock = new SimClock()
  readonly pages: PageFiles
  readonly gate = null
  readonly bodyRefs = null
  readonly told: string[] = []
  readonly unreadable: string[] = []
  /** What was asked for and not answered. */
  readonly fetched: Entry[] = []
  private receiver: MessageReceiver | null = null
  readonly segments = new Map<number, Residence>()
  takesMessages = true
  private readonly bodies = new Map<number, string>()
  private end = 1_024

  constructor(pageBytesMax: number) {
    const platform = { ...corePlatform(this.clock), disk: new SimDisk(this.clock, 1) }
    const options = { pageBytesMax, pageFileBytesMax: 4_096 }
    this.pages = new PageFiles(platform, '/data/idx', options, (detail) => this.unreadable.push(detail))
  }

  /** Writes a message that has `routes` entries in durable queues. */
  write(message: Message, routes: number): void {
    const id = 1 + Math.floor(this.end / 10_000)
    const segment = this.segments.get(id) ?? { id, live: 0, references: 0 }
    this.segments.set(id, segment)
    segment.live += routes
    message.residence = segment
    message.recordOffset = this.end
    message.recordBytes = message.contentBytes + recordExtraBytes
    this.bodies.set(this.end, message.body.toString())
    this.end += message.recordBytes
  }

  segment(id: number): Residence {
    const segment = this.segments.get(id)
    assert(segment !== undefined && segment.live > 0, 'a segment that is asked for has live entries')
    return segment
  }

  settlementsPending(index: QueueIndex): void {
    this.told.push(`settlements of ${index.queueId}`)
  }

  purged(index: QueueIndex): void {
    this.told.push(`purged ${index.queueId} below ${index.nextSequence}`)
  }

  overflow(message: Message): boolean {
    if (this.takesMessages) this.write(message, 0)
    return this.takesMessages
  }

  fetch(to: MessageReceiver, entries: readonly Entry[]): void {
    assert(this.fetched.length === 0, 'one load at a time')
    this.receiver = to
    this.fetched.push(...entries)
  }

  /** Answers what was asked for; what `isLost` cannot be read. Returns how many entries were still wanted. */
  answer(isLost: (entry: Entry) => boolean = () => false): number {
    const receiver = this.receiver as MessageReceiver
    const entries = this.fetched.splice(0)
    let wanted = 0
    for (const entry of entries) {
      if (!entry.isLoading) continue
      wanted++
      assert(entry.residence !== null && entry.residence.live > 0, 'what is read is in a segment that is there')
      if (isLost(entry)) {
        receiver.lost(entry)
        continue
      }
      const body = this.bodies.get(entry.offset)
      assert(body !== undefined, 'a record begins there')
      const message = makeMessage('', 'q', body)
      message.keepIn(receiver.readSlab)
      assert(entry.recordBytes === message.contentBytes + recordExtraBytes, 'the entry knows the length of its record')
      receiver.arrived(entry, message)
    }
    if (entries.length > 0) receiver.loadEnded()
    return wanted
  }

  get live(): number {
    let live = 0
    for (const segment of this.segments.values()) live += segment.live
    return live
  }
}

class Waiter implements AwaitingMessage {
  next: AwaitingMessage | null = null
  heard: string | null = null

  arrived(message: Message): void {
    this.heard = message.body.toString().trim()
  }

  lost(): void {
    this.heard = 'lost'
  }
}

interface Options {
  readonly windowBytesMax?: number
  readonly pageBytesMax?: number
  readonly durable?: boolean
}

/** An index over a log, that of queue 1. */
class Fixture {
  readonly log: FakeLog
  readonly memory: ResidentMemory
  readonly index: QueueIndex
  loads = 0

  constructor({ windowBytesMax = 1_048_576, pageBytesMax = 1_048_576, durable = true }: Options = {}) {
    this.log = new FakeLog(pageBytesMax)
    this.memory = new ResidentMemory(Number.MAX_SAFE_INTEGER, windowBytesMax)
    this.index = new QueueIndex(1, durable, this.memory, this.log)
    this.index.owner = {
      loaded: () => {
        this.loads++
      },
    }
  }

  /** Publishes a message as a broker does: logged ones are in the log by the end of the turn. */
  push(body: string, logged = true): Entry {
    const message = makeMessage('', 'q', body)
    const entry = this.index.push(message, logged)
    if (logged) this.log.write(message, 1)
    return entry
  }

  /** Publishes logged messages 'first', 'first + 1', … of so many bytes at least and ends the turn. */
  fill(count: number, first = 1, bytes = 0): void {
    for (let number = first; number < first + count; number++) this.push(String(number).padEnd(bytes))
    this.index.settleNewcomers()
  }

  takeReady(): Entry {
    const entry = this.index.takeReady()
    assert(entry !== null, 'an entry is ready and its message there')
    return entry
  }

  take(): Entry {
    const entry = this.index.take()
    assert(entry !== undefined, 'an entry is ready')
    return entry
  }

  /** Somebody who took the entry waits for its message. */
  wait(entry: Entry): Waiter {
    const waiter = new Waiter()
    this.index.await(entry, waiter)
    return waiter
  }

  /** Answers until nothing is asked for any more. */
  answerAll(isLost?: (entry: Entry) => boolean): void {
    for (let loads = 0; this.log.fetched.length > 0; loads++) {
      expect(loads).toBeLessThan(100)
      this.log.answer(isLost)
    }
  }

  /** Bytes of memory, and entries that live in segments: both 0 in the end. */
  get left(): number[] {
    return [this.memory.bytes, this.log.live]
  }

  /** Takes everything, reading what must be read, and settles it. */
  drain(): string[] {
    const bodies: string[] = []
    for (;;) {
      const entry = this.index.takeReady()
      if (entry === null) {
        if (this.log.answer() === 0) return bodies
        continue
      }
      bodies.push(bodyOf(entry))
      this.index.settle(entry)
    }
  }
}

/** An index without a log. */
function alone(): { index: QueueIndex; memory: ResidentMemory; push: (body: string) => Entry } {
  const memory = new ResidentMemory(Number.MAX_SAFE_INTEGER)
  const index = new QueueIndex(1, false, memory, null)
  return { index, memory, push: (body) => index.push(makeMessage('', 'q', body), false) }
}

function bodyOf(entry: Entry): string {
  return String(entry.message?.body).trim()
}

/** The sequences of what consumers hold, or what cannot be read, ascending. */
function heldOf(index: QueueIndex): string[] {
  const sequences: number[] = []
  index.forEachHeld((entry) => sequences.push(entry.sequence))
  return sequences.sort((left, right) => left - right).map(String)
}

function numbers(count: number, first = 1): string[] {
  return Array.from({ length: count }, (_, at) => String(first + at))
}

/** A window of 40 KB has room for about that many messages: the queue may hold as much as is left. */
const tight = { windowBytesMax: 40_000 }

describe('a queue index', () => {
  test('gives sequences from 1 and entries in their order, requeued ones in their old place', () => {
    const { index, push } = alone()
    const entries = ['a', 'b', 'c', 'd'].map(push)
    expect(entries.map((entry) => entry.sequence)).toEqual([1, 2, 3, 4])
    const [a, b, c] = [index.takeReady(), index.takeReady(), index.takeReady()] as [Entry, Entry, Entry]
    expect([a, b, c]).toEqual(entries.slice(0, 3))
    index.requeue(c)
    index.requeue(a)
    push('e')
    expect(index.takeReady()).toBe(a)
    index.requeue(b)
    const rest: number[] = []
    for (let entry = index.takeReady(); entry !== null; entry = index.takeReady()) rest.push(entry.sequence)
    expect(rest).toEqual([2, 3, 4, 5])
    expect(index.take()).toBeUndefined()
  })

  test('counts what is ready, and its body bytes', () => {
    const { index, push } = alone()
    for (const body of ['a', 'bb', 'ccc']) push(body)
    const entry = index.takeReady() as Entry
    expect([index.readyCount, index.readyBytes, entry.isReady]).toEqual([2, 5, false])
    index.requeue(entry)
    expect([index.readyCount, index.readyBytes, entry.isReady]).toEqual([3, 6, true])
    expect(index.purge()).toBe(3)
    expect([index.readyCount, index.readyBytes, index.purge()]).toEqual([0, 0, 0])
  })

  test('counts the memory of what is ready and of what consumers hold, until it is settled', () => {
    const { index, memory, push } = alone()
    const cost = entryOverheadBytes + makeMessage('', 'q', 'abc').contentBytes
    for (let number = 0; number < 3; number++) push('abc')
    expect(memory.bytes).toBe(3 * cost)
    const entry = index.takeReady() as Entry
    index.held(entry)
    expect(memory.bytes).toBe(3 * cost)
    index.requeue(entry)
    index.settle(index.takeReady() as Entry)
    expect(memory.bytes).toBe(2 * cost)
    index.purge()
    expect(memory.bytes).toBe(0)
  })

  test('copies at the end of the turn what stays, out of the chunk it came in, and what a consumer holds', () => {
    const { index, push } = alone()
    const [a, b] = [push('a'), push('b')]
    const taken = index.takeReady() as Entry
    expect(taken).toBe(a)
    index.settleNewcomers()
    expect([a.message?.owned, b.message?.owned]).toEqual([false, true])
    index.held(a)
    expect(a.message?.owned).toBe(true)
    expect([bodyOf(a), bodyOf(b)]).toEqual(['a', 'b'])
  })

  test('without a log keeps everything in memory, however little there is', () => {
    const memory = new ResidentMemory(1_000)
    const index = new QueueIndex(1, true, memory, null)
    for (const body of numbers(500)) index.push(makeMessage('', 'q', body), false)
    index.settleNewcomers()
    index.readAhead()
    const bodies: string[] = []
    for (let entry = index.takeReady(); entry !== null; entry = index.takeReady()) {
      index.held(entry)
      bodies.push(bodyOf(entry))
    }
    expect(bodies).toEqual(numbers(500))
  })

  test('tells the log once that there are settlements, of logged entries only, and lets their segment go', () => {
    const fixture = new Fixture()
    const { index, log } = fixture
    for (const logged of [true, true, true, false]) fixture.push('x', logged)
    for (let number = 0; number < 4; number++) index.settle(fixture.takeReady())
    expect(log.told).toEqual(['settlements of 1'])
    expect(index.settled.sorted()).toEqual([1, 3])
    expect(log.live).toBe(0)
    index.settled.clear()
    fixture.push('x')
    index.settle(fixture.takeReady())
    expect(log.told).toEqual(['settlements of 1', 'settlements of 1'])
    expect(index.settled.sorted()).toEqual([5, 5])
  })

  test('that is purged says so once and keeps what consumers hold', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(500)
    const held = fixture.takeReady()
    const returned = fixture.takeReady()
    index.requeue(returned)
    fixture.push('late', false)
    expect(index.purge()).toBe(500)
    expect(log.told).toEqual(['purged 1 below 502'])
    expect([log.live, index.readyCount, index.readyBytes, index.take()]).toEqual([1, 0, 0, undefined])
    index.settle(held)
    expect(fixture.left).toEqual([0, 0])
  })

  test('of a queue that does not outlive the process says nothing of a purge', () => {
    const fixture = new Fixture({ durable: false })
    const { index, log } = fixture
    fixture.push('x', false)
    expect(index.purge()).toBe(1)
    expect(log.told).toEqual([])
  })

  test('that is dropped lets go of its segments at once for what is ready and later for what consumers hold', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(300)
    const held = [fixture.takeReady(), fixture.takeReady()]
    index.settle(held.pop() as Entry)
    index.drop()
    expect([log.live, index.readyCount, index.settled.isEmpty]).toEqual([1, 0, true])
    for (const entry of held) index.settle(entry)
    expect(fixture.left).toEqual([0, 0])
    expect(log.told).toEqual(['settlements of 1'])
    expect(index.settled.isEmpty).toBe(true)
    index.readAhead()
    expect(log.fetched).toEqual([])
  })

  test('with a larger message it is read again if it comes back, unless the log has none of it', () => {
    const fixture = new Fixture()
    const { index, log } = fixture
    for (const [size, logged] of [
      [600, true],
      [400, true],
      [600, false],
    ] as const) {
      fixture.push('.'.repeat(size), logged)
      index.settleNewcomers()
      const entry = fixture.takeReady()
      index.held(entry)
      expect(entry.message === null).toBe(size === 600 && logged)
      index.requeue(entry)
      if (entry.message === null) expect(index.takeReady()).toBeNull()
      log.answer()
      expect(fixture.takeReady()).toBe(entry)
      expect(entry.message?.bodyBytes).toBe(size)
      index.settle(entry)
    }
    expect(log.live).toBe(0)
  })

  test('shows what is ready, and what consumers hold in the order in which they got it', () => {
    const fixture = new Fixture()
    const { index } = fixture
    fixture.fill(8)
    const seen = (): number[][] => {
      const ready: number[] = []
      const held: number[] = []
      index.lanes.forEach((lane) => lane.forEachEntry((entry) => ready.push(entry.sequence)))
      index.forEachHeld((entry) => held.push(entry.sequence))
      return [ready, held]
    }
    expect(seen()).toEqual([numbers(8).map(Number), []])
    const held = numbers(6).map(() => fixture.takeReady())
    for (const entry of held) index.held(entry)
    expect(seen()).toEqual([
      [7, 8],
      [1, 2, 3, 4, 5, 6],
    ])
    for (const at of [1, 5]) index.requeue(held[at] as Entry)
    for (const at of [0, 3]) index.settle(held[at] as Entry)
    expect(seen()).toEqual([
      [2, 6, 7, 8],
      [3, 5],
    ])
    index.held(fixture.takeReady())
    expect(seen()).toEqual([
      [6, 7, 8],
      [3, 5, 2],
    ])
    index.purge()
    expect(seen()).toEqual([[], [3, 5, 2]])
  })
})

describe('a queue index beyond its share of memory', () => {
  test('lets go of the newest messages at the end of the turn, and gets them back in order', () => {
    const fixture = new Fixture(tight)
    const { index, log, memory } = fixture
    fixture.fill(1_000)
    expect(memory.bytes).toBeLessThanOrEqual(20_000)
    expect(memory.bytes).toBeGreaterThan(19_000)
    expect([index.readyCount, log.live]).toEqual([1_000, 1_000])
    expect(fixture.drain()).toEqual(numbers(1_000))
    expect([memory.bytes, log.live, index.readyCount, index.readyBytes]).toEqual([0, 0, 0, 0])
    expect(index.settled.sorted()).toEqual([1, 1_000])
  })

  test('keeps what comes later behind what waits already, whether that was taken in the same turn or not', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(150)
    fixture.push('151')
    const bodies: string[] = []
    while (bodies.length < 150) {
      const entry = index.takeReady()
      if (entry === null) log.answer()
      else {
        bodies.push(bodyOf(entry))
        index.settle(entry)
      }
    }
    fixture.fill(300, 152)
    expect([...bodies, ...fixture.drain()]).toEqual(numbers(451))
    expect(log.live).toBe(0)
  })

  test('gives up one among them, in a page or in the window, with its place in the log', () => {
    for (const logged of [true, false]) {
      const fixture = new Fixture(tight)
      const { index, log } = fixture
      for (const body of numbers(400)) fixture.push(body, logged)
      index.settleNewcomers()
      const live = log.live
      const gone = index.waiting.ready(0, 400).filter((_entry, at) => at === 0 || at === 399 || at % 7 === 3)
      const inPages = gone.filter(({ message }) => message === null).length
      expect(inPages).toBeGreaterThan(10)
      for (const entry of gone) expect([index.withdraw(entry), index.withdraw(entry)]).toEqual([true, false])
      expect(index.readyCount).toBe(400 - gone.length)
      expect(log.live).toBe(live - (logged ? gone.length : inPages))
      const left = numbers(400).filter((_body, at) => !(at === 0 || at === 399 || at % 7 === 3))
      expect(fixture.drain()).toEqual(left)
      expect([log.live, index.readyBytes, index.settled.isEmpty]).toEqual([0, 0, !logged])
    }
  })

  test('writes transient messages to the log then, and forgets them without a word', () => {
    const fixture = new Fixture(tight)
    const { index, log, memory } = fixture
    for (const body of numbers(400)) fixture.push(body, false)
    expect(log.live).toBe(0)
    index.settleNewcomers()
    expect(memory.bytes).toBeLessThanOrEqual(20_000)
    expect(log.live).toBe(index.lanes.ready.of(0).backlog?.count)
    expect(fixture.drain()).toEqual(numbers(400))
    expect([log.live, memory.bytes, log.told.length, index.settled.isEmpty]).toEqual([0, 0, 0, true])
  })

  test('keeps transient messages in memory while the log takes none, also those that come behind others', () => {
    const fixture = new Fixture(tight)
    const { index, log, memory } = fixture
    fixture.fill(200)
    log.takesMessages = false
    const late = numbers(200, 201).map((body) => fixture.push(body, false))
    index.settleNewcomers()
    expect(late.every((entry) => entry.message?.owned === true)).toBe(true)
    expect(memory.bytes).toBeGreaterThan(200 * entryOverheadBytes)
    fixture.push('401', false)
    index.settleNewcomers()
    log.takesMessages = true
    expect(fixture.drain()).toEqual(numbers(401))
    expect([memory.bytes, log.live]).toEqual([0, 0])
  })

  test('shares its memory with other queues: what one holds, the other may not', () => {
    const fixture = new Fixture({ windowBytesMax: 400_000 })
    const { index, log, memory } = fixture
    const other = new QueueIndex(2, true, memory, log)
    fixture.fill(2_000)
    const first = memory.bytes
    for (const body of numbers(2_000)) other.push(makeMessage('', 'q', body), false)
    other.settleNewcomers()
    expect(Math.abs(first - 200_000)).toBeLessThan(1_000)
    expect(Math.abs(memory.bytes - first - 100_000)).toBeLessThan(1_000)
    other.drop()
    expect(memory.bytes).toBe(first)
    index.drop()
    expect([memory.bytes, log.live]).toEqual([0, 0])
  })

  test('gives nothing while the first message is being read, and says when it is there', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(200)
    for (let entry = index.takeReady(); entry !== null; entry = index.takeReady()) index.settle(entry)
    expect(log.fetched.length).toBeGreaterThan(0)
    expect(log.fetched[0]?.isLoading).toBe(true)
    const asked = [...log.fetched]
    expect(index.takeReady()).toBeNull()
    expect([log.fetched, fixture.loads]).toEqual([asked, 0])
    log.answer()
    expect(fixture.loads).toBe(1)
    expect(index.takeReady()).toBe(asked[0])
  })

  test('reads ahead while less than half of its window is there', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(300)
    index.readAhead()
    expect(log.fetched).toEqual([])
    for (let left = 70; left > 0; left--) index.settle(fixture.takeReady())
    index.readAhead()
    expect(log.fetched.length).toBeGreaterThan(0)
    log.answer()
    expect(fixture.drain()).toEqual(numbers(230, 71))
  })

  test('reads no more at once than a mebibyte or so', () => {
    const fixture = new Fixture({ windowBytesMax: 100_000 })
    const { log, index } = fixture
    for (let number = 0; number < 30; number++) fixture.push('x'.repeat(100_000), false)
    index.settleNewcomers()
    expect(index.takeReady()).toBeNull()
    const bytes = log.fetched.reduce((total, entry) => total + entry.recordBytes, 0)
    expect(bytes).toBeGreaterThan(0)
    expect(bytes).toBeLessThanOrEqual(1_048_576 + 100_100)
    expect(fixture.drain()).toHaveLength(30)
  })

  test('lets go of what consumers hold while memory is short, and reads it again if it comes back', () => {
    const fixture = new Fixture()
    const { index, log, memory } = fixture
    for (const [at, body] of numbers(4).entries()) fixture.push(body, at % 2 === 0)
    index.settleNewcomers()
    // What other queues hold.
    const others = 600_000
    memory.bytes += others
    const held = numbers(4).map(() => fixture.takeReady())
    for (const entry of held.slice(0, 3)) index.held(entry)
    log.takesMessages = false
    index.held(held[3] as Entry)
    expect(held.map((entry) => entry.message?.body.toString() ?? null)).toEqual([null, null, null, '4'])
    expect(memory.bytes - others).toBe(4 * entryOverheadBytes + (held[3]?.message?.contentBytes ?? 0))
    expect(log.live).toBe(3)
    for (const at of [2, 3, 0, 1]) index.requeue(held[at] as Entry)
    expect(fixture.drain()).toEqual(numbers(4))
    expect([memory.bytes - others, log.live, index.settled.sorted()]).toEqual([0, 0, [1, 1, 3, 3]])
  })

  test('says of what an earlier life may have handed out that it was', () => {
    const fixture = new Fixture()
    const { index, log } = fixture
    for (let sequence = 1; sequence <= 3; sequence++) {
      const message = makeMessage('', 'q', String(sequence))
      log.write(message, 0)
      const { residence, recordOffset, recordBytes } = message
      const place = { segmentId: residence?.id ?? 0, offset: recordOffset, recordBytes }
      index.lanes.ready.of(0).backlog?.add(entryOf({ ...place, sequence, bodyBytes: 1 }))
      if (residence !== null) residence.live = 1
    }
    index.recovered(4, 3, 0)
    expect([index.readyCount, index.readyBytes, index.nextSequence, log.live]).toEqual([3, 3, 4, 4])
    expect(index.takeReady()).toBeNull()
    log.answer()
    expect([1, 2, 3].map(() => fixture.takeReady().deliveryCount)).toEqual([1, 1, 0])
  })
})

describe('an entry taken before its message was there', () => {
  /** A queue of 200 whose first 100 were settled; the others are not in memory. */
  function bare(): Fixture {
    const fixture = new Fixture(tight)
    fixture.fill(200)
    while (fixture.index.readyCount > 100) fixture.index.settle(fixture.take())
    return fixture
  }

  /** Of 200 messages, takes one that is not among those being read, and settles what comes before it. */
  function takeBehindLoad(fixture: Fixture): { entry: Entry; waiter: Waiter } {
    const { index, log } = fixture
    fixture.fill(200, 1, 1_500)
    let entry = fixture.take()
    for (; entry.isLoading || entry.message !== null; entry = fixture.take()) {
      index.settle(entry)
      index.readAhead()
    }
    expect(log.fetched.length).toBeGreaterThan(0)
    const waiter = fixture.wait(entry)
    expect(log.fetched).not.toContain(entry)
    return { entry, waiter }
  }

  test('is read, and everybody who waits hears of it', () => {
    const fixture = bare()
    const { index, log } = fixture
    const entry = fixture.take()
    expect([entry.message, entry.isReady]).toEqual([null, false])
    const waiters = [fixture.wait(entry), fixture.wait(entry)]
    expect(log.fetched[0]).toBe(entry)
    log.answer()
    expect(waiters.map(({ heard }) => heard)).toEqual(['101', '101'])
    expect(bodyOf(entry)).toBe('101')
    index.settle(entry)
    expect(fixture.drain()).toEqual(numbers(99, 102))
    expect(fixture.left).toEqual([0, 0])
  })

  test('keeps its record until it was read if it is settled at once', () => {
    const fixture = bare()
    const { index, log } = fixture
    const entry = fixture.take()
    const waiter = fixture.wait(entry)
    index.settle(entry)
    expect(index.settled.sorted()).toEqual([1, 101])
    index.drop()
    expect(log.live).toBe(1)
    log.answer()
    expect(waiter.heard).toBe('101')
    expect(fixture.left).toEqual([0, 0])
  })

  test('is read next if another load is under way, also when its queue is dropped', () => {
    const fixture = bare()
    const { index, log } = fixture
    index.readAhead()
    expect(log.fetched.length).toBeGreaterThan(0)
    const waiters: Waiter[] = []
    const entries: Entry[] = []
    while (index.readyCount > 0) {
      const entry = fixture.take()
      entries.push(entry)
      waiters.push(fixture.wait(entry))
    }
    index.drop()
    fixture.answerAll()
    expect(waiters.map(({ heard }) => heard)).toEqual(numbers(100, 101))
    for (const entry of entries) index.settle(entry)
    expect(fixture.left).toEqual([0, 0])
  })

  test('may come back before its message does', () => {
    const fixture = bare()
    const { index, log } = fixture
    const entry = fixture.take()
    const waiter = fixture.wait(entry)
    index.requeue(entry)
    expect(index.takeReady()).toBeNull()
    log.answer()
    expect(waiter.heard).toBe('101')
    expect(fixture.drain()).toEqual(numbers(100, 101))
    expect(fixture.left).toEqual([0, 0])
  })

  test('may come back before its message is even asked for', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    const { entry, waiter } = takeBehindLoad(fixture)
    index.requeue(entry)
    log.answer()
    expect(log.fetched).toContain(entry)
    log.answer()
    expect(waiter.heard).toBe(String(entry.sequence))
    expect(fixture.drain()).toEqual(numbers(201 - entry.sequence, entry.sequence))
    expect(fixture.left).toEqual([0, 0])
  })

  test('that came back and was purged is still read for who waits, and then gone', () => {
    const fixture = bare()
    const { index, log } = fixture
    const entry = fixture.take()
    const waiter = fixture.wait(entry)
    index.requeue(entry)
    expect(index.purge()).toBe(100)
    log.answer()
    expect(waiter.heard).toBe('101')
    expect([fixture.memory.bytes, log.live, index.readyCount]).toEqual([0, 0, 0])
  })

  test('that came back and was purged before it was asked for is still read for who waits, and then gone', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    const { entry, waiter } = takeBehindLoad(fixture)
    index.requeue(entry)
    expect(index.purge()).toBe(201 - entry.sequence)
    fixture.answerAll()
    expect(waiter.heard).toBe(String(entry.sequence))
    expect([fixture.memory.bytes, log.live, index.readyCount]).toEqual([0, 0, 0])
  })
})

describe('a message that cannot be read', () => {
  test('is left out, stays in its segment, and the next one gets its turn', () => {
    const fixture = new Fixture(tight)
    const { index, log } = fixture
    fixture.fill(200)
    const bodies: string[] = []
    let lost = 0
    for (;;) {
      const entry = index.takeReady()
      if (entry !== null) {
        bodies.push(bodyOf(entry))
        index.settle(entry)
      } else if (
        log.answer((which) => {
          const isLost = which.sequence % 3 === 0
          if (isLost) lost++
          return isLost
        }) === 0
      ) {
        break
      }
    }
    expect(lost).toBeGreaterThan(10)
    expect(bodies).toHaveLength(200 - lost)
    expect(bodies.filter((body) => numbers(200).includes(body))).toEqual(bodies)
    // Nobody gets it in this life, but it lives: checkpoints name it, and its entry takes memory.
    expect(heldOf(index)).toEqual(numbers(200).filter((body) => !bodies.includes(body)))
    const expected = [0, 0, lost * entryOverheadBytes, lost]
    expect([index.readyCount, index.readyBytes, fixture.memory.bytes, log.live]).toEqual(expected)
  })

  test('is told to who took it; settled or given up, it counts no longer', () => {
    const fixture = new Fixture({ windowBytesMax: 4_000 })
    const { index, log } = fixture
    fixture.fill(20)
    const all: Entry[] = []
    while (index.readyCount > 0) all.push(fixture.take())
    const [settled, kept, returned] = all.filter((entry) => entry.message === null) as [Entry, Entry, Entry]
    for (const entry of all) if (![settled, kept, returned].includes(entry)) index.settle(entry)
    const waiters = [settled, kept, returned].map((entry) => fixture.wait(entry))
    index.settle(settled)
    index.requeue(returned)
    fixture.answerAll(() => true)
    expect(waiters.map(({ heard }) => heard)).toEqual(['lost', 'lost', 'lost'])
    expect([index.readyCount, index.takeReady()]).toEqual([0, null])
    expect(log.live).toBe(2)
    index.settle(kept)
    expect(fixture.left).toEqual([entryOverheadBytes, 1])
    expect([returned.isLost, heldOf(index)]).toEqual([true, [String(returned.sequence)]])
  })

  test('and comes back from its consumer stays among what consumers hold, and in its segment', () => {
    const fixture = new Fixture({ windowBytesMax: 4_000 })
    const { index, log } = fixture
    fixture.fill(20)
    let bare = fixture.take()
    while (bare.message !== null) {
      index.settle(bare)
      bare = fixture.take()
    }
    index.held(bare)
    fixture.wait(bare)
    fixture.answerAll((entry) => entry === bare)
    index.requeue(bare)
    expect([bare.isReady, heldOf(index)]).toEqual([false, [String(bare.sequence)]])
    expect(fixture.drain()).not.toContain(String(bare.sequence))
    expect([heldOf(index), log.live]).toEqual([[String(bare.sequence)], 1])
  })
})

type Step =
  | readonly ['push', number, boolean]
  | readonly ['take' | 'get' | 'settle' | 'requeue' | 'time', number]
  | readonly ['turn' | 'read' | 'answer' | 'lose' | 'purge']

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('push' as const), fc.integer({ min: 1, max: 60 }), fc.boolean()) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('take' as const), fc.integer({ min: 1, max: 40 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('get' as const), fc.integer({ min: 1, max: 4 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('settle' as const), fc.integer({ min: 1, max: 40 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('requeue' as const), fc.integer({ min: 1, max: 20 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('time' as const), fc.integer({ min: 1, max: 5 })) },
  { weight: 5, arbitrary: fc.constant(['turn'] as const) },
  { weight: 3, arbitrary: fc.constant(['read'] as const) },
  { weight: 5, arbitrary: fc.constant(['answer'] as const) },
  { weight: 3, arbitrary: fc.constant(['lose'] as const) },
  { weight: 1, arbitrary: fc.constant(['purge'] as const) },
)

/** The same history on an index and on a set of numbers. */
class Comparison extends Fixture {
  /** Sequences that are ready, ascending, and bodies by sequence. */
  private ready: number[] = []
  private readonly bodies = new Map<number, string>()
  private held: Entry[] = []
  private readonly waiting = new Map<Entry, Waiter>()
  private lost = 0
  private readonly isLost = (entry: Entry): boolean => {
    if (entry.sequence % 5 !== 0) return false
    if (entry.isReady) this.ready = this.ready.filter((sequence) => sequence !== entry.sequence)
    if (entry.isReady) this.lost++
    return true
  }

  async do(action: Step): Promise<void> {
    const { index, log } = this
    const [what, count = 0] = action
    for (let left = what === 'push' ? count : 0; left > 0; left--) {
      const body = 'x'.repeat((left * count) % 300)
      const { sequence } = this.push(body, action[2] === true && left % 3 > 0)
      this.ready.push(sequence)
      this.bodies.set(sequence, body)
    }
    for (let left = what === 'take' ? count : 0; left > 0; left--) if (!this.takeOne()) break
    for (let left = what === 'get' ? count : 0; left > 0; left--) this.getOne(left === 2)
    if (what === 'settle') for (const entry of this.held.splice(0, count)) index.settle(entry)
    if (what === 'requeue') for (const entry of this.held.splice(-count)) this.return(entry)
    for (let left = what === 'time' ? count : 0; left > 0; left--) await log.clock.step()
    if (what === 'turn') index.settleNewcomers()
    if (what === 'read') index.readAhead()
    if (what === 'answer') log.answer()
    if (what === 'lose') log.answer(this.isLost)
    if (what === 'answer' || what === 'lose') this.hear()
    if (what === 'purge') {
      expect(index.purge()).toBe(this.ready.length)
      this.ready = []
    }
    this.check()
  }

  /** Everything is taken and settled in the end. */
  async end(): Promise<void> {
    const { index, log } = this
    index.settleNewcomers()
    do this.hear()
    while (log.answer() > 0 || log.fetched.length > 0)
    while (this.held.length > 0) index.settle(this.held.pop() as Entry)
    for (;;) {
      if (this.takeOne()) index.settle(this.held.pop() as Entry)
      else if (log.answer() === 0) break
      await log.clock.step()
    }
    await log.clock.runUntilIdle()
    expect(this.ready).toEqual([])
    expect([index.readyCount, index.readyBytes]).toEqual([0, 0])
    // What cannot be read is there to be named by checkpoints, and no more.
    expect([this.memory.bytes, log.live]).toEqual([this.lost * entryOverheadBytes, this.lost])
    expect(heldOf(index)).toHaveLength(this.lost)
    expect([log.pages.bytes, this.waiting.size, log.unreadable.length]).toEqual([0, 0, 0])
  }

  private takeOne(): boolean {
    const { index, log } = this
    const entry = index.takeReady()
    if (entry === null) {
      if (this.ready.length > 0) expect(log.fetched.length).toBeGreaterThan(0)
      return false
    }
    expect(entry.sequence).toBe(this.ready.shift())
    expect(bodyOf(entry)).toBe(this.bodies.get(entry.sequence))
    index.held(entry)
    this.held.push(entry)
    return true
  }

  private getOne(settles: boolean): void {
    const { index } = this
    const entry = index.take()
    expect(entry?.sequence).toBe(this.ready.shift())
    if (entry === undefined) return
    if (entry.message === null) this.waiting.set(entry, this.wait(entry))
    if (settles) index.settle(entry)
    else {
      index.held(entry)
      this.held.push(entry)
    }
  }

  private return(entry: Entry): void {
    this.index.requeue(entry)
    this.ready.push(entry.sequence)
    this.ready.sort((left, right) => left - right)
  }

  private hear(): void {
    for (const [entry, { heard }] of this.waiting) {
      if (heard === null) continue
      this.waiting.delete(entry)
      if (heard !== 'lost') expect(heard).toBe(this.bodies.get(entry.sequence))
      else if (this.held.includes(entry)) {
        this.held = this.held.filter((other) => other !== entry)
        this.index.settle(entry)
      }
    }
  }

  private check(): void {
    const { index } = this
    expect(index.readyCount).toBe(this.ready.length)
    expect(index.readyBytes).toBe(
      this.ready.reduce((total, sequence) => total + String(this.bodies.get(sequence)).length, 0),
    )
  }
}

test('whatever happens to a queue, its index gives the first that is ready, and counts neither memory nor segments wrong', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80 }),
      fc.constantFrom(2_000, 20_000, 1_000_000),
      fc.constantFrom(300, 1_000_000),
      async (history, windowBytesMax, pageBytesMax) => {
        const comparison = new Comparison({ windowBytesMax, pageBytesMax })
        await comparison.log.clock.run(comparison.log.pages.open())
        for (const action of history) await comparison.do(action)
        await comparison.end()
      },
    ),
    { numRuns: 300 },
  )
})
