// What nobody with types would give: null, numbers, misspelt names, contracts of another kind. Each is refused, by name, and
// nothing is done.
import { describe, expect, it } from 'vitest'
import { hashPassword } from '../index.ts'
import { createTestBroker, type TestBroker } from '../testing/kit/test-broker.ts'
import type { Bus } from './bus.ts'
import { callError } from './call-errors.ts'
import { type Child, child } from './children.ts'
import { defineCall, defineEvent, defineQueue } from './contract.ts'
import type { ReceivedMessage } from './incoming.ts'
import type { Queue } from './queue.ts'
import type { HandlerContext } from './task.ts'
import { RunContext } from './thread-context.ts'
import type { RunMessage } from './thread-messages.ts'
import type { Worker } from './worker-options.ts'

const inMemory = { storage: 'memory' } as const
const jobs = defineQueue('jobs')
const paid = defineEvent('order.paid')
const price = defineCall('price')

interface Scene {
  readonly test: TestBroker
  readonly bus: Bus
  readonly queue: Queue
  readonly worker: Worker
}

type Give = (scene: Scene, bad: never) => unknown

const handler = (): void => {}

async function open(): Promise<Scene & AsyncDisposable> {
  const test = await createTestBroker(inMemory)
  const bus = await test.connect()
  const queue = await bus.createQueue('jobs')
  const worker = (await bus.createQueue('others')).process(handler)
  return { test, bus, queue, worker, [Symbol.asyncDispose]: () => test[Symbol.asyncDispose]() }
}

/** What it throws or rejects with; null: nothing. */
async function thrownBy(run: () => unknown): Promise<unknown> {
  try {
    await run()
    return null
  } catch (error) {
    return error
  }
}

async function first(iterator: { next(): Promise<unknown> }): Promise<unknown> {
  return await iterator.next()
}

/** What a handler in a thread has. */
function inThread(): RunContext {
  const about = { redelivered: false, attempt: 1, deadlineMs: 0, children: [], hasLease: false, checked: null }
  const run: RunMessage = {
    kind: 'run',
    run: 1,
    queue: 'jobs',
    exchange: '',
    routingKey: 'jobs',
    ...about,
    bytes: new ArrayBuffer(0),
    propertiesBytes: 0,
  }
  return new RunContext(run, () => {})
}

/** Every public function that takes options. */
const takesOptions: readonly (readonly [string, Give])[] = [
  ['connect', ({ test }, bad) => test.connect(bad)],
  ['createQueue', ({ bus }, bad) => bus.createQueue('more', bad)],
  ['openQueue', ({ bus }, bad) => bus.openQueue('jobs', bad)],
  ['emit', ({ bus }, bad) => bus.emit('order.paid', 1, bad)],
  ['on', ({ bus }, bad) => bus.on('order.paid', handler, bad)],
  ['once', ({ bus }, bad) => bus.once('order.paid', handler, bad)],
  ['events', ({ bus }, bad) => bus.events('order.paid', bad)],
  ['call', ({ bus }, bad) => bus.call('price', 1, bad)],
  ['answer', ({ bus }, bad) => bus.answer('price', () => 1, bad)],
  ['schedule', ({ bus }, bad) => bus.schedule('often', { every: '1s' }, jobs, 1, bad)],
  ['receipts', ({ bus }, bad) => bus.receipts(bad)],
  ['importDefinitions', ({ bus }, bad) => bus.importDefinitions({}, bad)],
  ['exportDefinitions', ({ bus }, bad) => bus.exportDefinitions(bad)],
  ['bus.serve', ({ bus }, bad) => bus.serve(bad)],
  ['bus.close', ({ bus }, bad) => bus.close(bad)],
  ['send', ({ queue }, bad) => queue.send(1, bad)],
  ['sendMany', ({ queue }, bad) => queue.sendMany([1], bad)],
  ['process', ({ queue }, bad) => queue.process(handler, bad)],
  ['process in threads', ({ queue }, bad) => queue.process(new URL('file:///handler.js'), bad)],
  ['processBatch', ({ queue }, bad) => queue.processBatch(handler, bad)],
  ['receive', ({ queue }, bad) => queue.receive(bad)],
  ['peek', ({ queue }, bad) => first(queue.peek(bad))],
  ['redrive', ({ queue }, bad) => queue.redrive(bad)],
  ['forecast', ({ queue }, bad) => queue.forecast(bad)],
  ['worker.close', ({ worker }, bad) => worker.close(bad)],
  ['child', (_scene, bad) => child(jobs, 1, bad)],
  ['defineQueue', (_scene, bad) => defineQueue('jobs', bad)],
  ['defineCall', (_scene, bad) => defineCall('price', bad)],
  ['receipt.processed', async ({ queue }, bad) => (await queue.send(1, { receipt: true })).processed(bad)],
  ['receipt.delivered', async ({ queue }, bad) => (await queue.send(1, { receipt: true })).delivered(bad)],
  ['nack', async ({ queue }, bad) => (await received(queue)).nack(bad)],
  ['context.send', inHandler((context, bad) => context.send(jobs, 1, bad))],
  ['context.emit', inHandler((context, bad) => context.emit(paid, 1, bad))],
  ['context.call', inHandler((context, bad) => context.call(price, 1, bad))],
  ['context.retry', inHandler((context, bad) => context.retry(bad))],
  ['context.call in a thread', (_scene, bad) => inThread().call(price, 1, bad)],
  ['context.retry in a thread', (_scene, bad) => inThread().retry(bad)],
]

/** Rejects with what was thrown inside a handler. */
function inHandler(give: (context: HandlerContext, bad: never) => unknown): Give {
  return async ({ bus }, bad) => {
    const own = await bus.createQueue('own')
    let thrown: unknown = null
    await using _worker = own.process(async (_message, context) => {
      thrown = await thrownBy(() => give(context, bad))
    })
    await (await own.send(1, { receipt: true })).processed()
    if (thrown !== null) throw thrown as Error
  }
}

async function received(queue: Queue): Promise<ReceivedMessage> {
  await queue.send(1)
  const { value } = await queue.receive().next()
  return value as ReceivedMessage
}

describe('options', () => {
  const bads: readonly (readonly [string, unknown])[] = [
    ['null', null],
    ['a number', 5],
    ['text', 'fast'],
    ['an array', []],
    ['a promise', Promise.resolve({})],
    ['a misspelt name', { nonsense: 1 }],
  ]

  describe.each(takesOptions)('of %s', (_name, give) => {
    it.each(bads)('are not %s', async (_word, bad) => {
      await using scene = await open()
      const error = await thrownBy(() => give(scene, bad as never))
      expect(error).toMatchObject({ name: 'LeveretError', code: 'E_BAD_OPTION' })
      expect(String((error as Error).message)).toMatch(/options? (is|are)|'nonsense'/)
    })
  })

  it.each<[string, Give, unknown, string]>([
    ['connect', ({ test }, bad) => test.connect(bad), { onError: 5 }, 'onError is 5, and has to be a function'],
    ['process', ({ queue }, bad) => queue.process(handler, bad), { onError: 5 }, 'onError is 5'],
    ['processBatch', ({ queue }, bad) => queue.processBatch(handler, bad), { onError: {} }, 'onError is an object'],
    ['answer', ({ bus }, bad) => bus.answer('price', () => 1, bad), { onError: 'x' }, "onError is 'x'"],
    ['answer', ({ bus }, bad) => bus.answer('price', () => 1, bad), { retry: 0 }, 'retry: 0 is given'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { onProcessed: 5 }, 'onProcessed is 5, and has to be a function'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { onDelivered: 'x' }, "onDelivered is 'x'"],
    ['send', ({ queue }, bad) => queue.send(1, bad), { signal: 5 }, 'signal is 5, and has to be an AbortSignal'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { throttle: 'x' }, "throttle: 'x' is given"],
    ['send', ({ queue }, bad) => queue.send(1, bad), { debounce: 5 }, 'debounce: 5 is given'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { headers: 5 }, 'headers: 5 is given'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { headers: new Map([['a', 1]]) }, 'headers: a Map is given'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { contentType: 5 }, 'contentType is 5, and has to be text'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { receipt: 'yes' }, "receipt is 'yes'"],
    ['send', ({ queue }, bad) => queue.send(1, bad), { ttl: 5n }, 'ttl is 5: write milliseconds'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { ttl: Symbol('t') }, 'ttl is Symbol(t): write milliseconds'],
    ['send', ({ queue }, bad) => queue.send(1, bad), { ttl: null }, 'ttl is null: leave it out'],
    ['emit', ({ bus }, bad) => bus.emit(paid, 1, bad), { signal: {} }, 'signal is an object'],
    ['on', ({ bus }, bad) => bus.on(paid, handler, bad), { signal: 5 }, 'signal is 5'],
    ['call', ({ bus }, bad) => bus.call(price, 1, bad), { signal: 5 }, "call 'price': signal is 5"],
    ['call', ({ bus }, bad) => bus.call(price, 1, bad), { headers: 5 }, "call 'price': headers: 5 is given"],
    ['call', ({ bus }, bad) => bus.call(price, 1, bad), { timeout: {} }, 'timeout is an object'],
    ['receive', ({ queue }, bad) => queue.receive(bad), { signal: 5 }, 'signal is 5'],
    ['receive', ({ queue }, bad) => queue.receive(bad), { raw: 'yes' }, "raw is 'yes', and has to be true or false"],
    ['redrive', ({ queue }, bad) => queue.redrive(bad), { rate: 5n }, 'rate is 5'],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { retry: 5 }, "queue 'q': retry: 5 is given"],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { retry: null }, 'retry is null: leave it out'],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { keys: true }, 'keys: true is given'],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { arguments: 5 }, 'arguments: 5 is given'],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { arguments: { a: Symbol('s') } }, "arguments: 'a'"],
    [
      'createQueue',
      ({ bus }, bad) => bus.createQueue('q', bad),
      { expires: 0 },
      "queue 'q': expires, in milliseconds,",
    ],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { deadLetter: 5 }, "a dead-letter queue's name is"],
    ['createQueue', ({ bus }, bad) => bus.createQueue('q', bad), { storage: Symbol('s') }, 'storage is Symbol(s)'],
    ['worker.close', ({ worker }, bad) => worker.close(bad), { timeout: 'soon' }, "timeout is 'soon'"],
    ['bus.close', ({ bus }, bad) => bus.close(bad), { timeout: -1 }, 'bus.close: timeout is -1'],
    ['child', (_scene, bad) => child(jobs, 1, bad), { receipt: true }, "there is no option 'receipt'"],
    ['child', (_scene, bad) => child(jobs, 1, bad), { idempotencyKey: 'k' }, "there is no option 'idempotencyKey'"],
    ['child', (_scene, bad) => child(jobs, 1, bad), { onProcessed: handler }, "there is no option 'onProcessed'"],
    ['defineCall', (_scene, bad) => defineCall('price', bad), { errors: 5 }, 'errors: 5 is given'],
    ['defineCall', (_scene, bad) => defineCall('price', bad), { inputs: 5 }, 'the options are input, result, errors'],
    ['defineCall', (_scene, bad) => defineCall('price', bad), { errors: { sold: 5 } }, 'error sold is no schema'],
  ])('of %s have values of their kind (%#)', async (_name, give, bad, text) => {
    await using scene = await open()
    const error = await thrownBy(() => give(scene, bad as never))
    expect(error).toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining(text) })
  })

  it('that were refused have closed nothing', async () => {
    await using scene = await open()
    await thrownBy(() => scene.bus.close({ timeout: 'soon' } as never))
    await thrownBy(() => scene.worker.close(null as never))
    await scene.queue.send(1)
    expect(await scene.queue.count()).toMatchObject({ ready: 1 })
    await scene.bus.close()
  })

  it('may come from a class, or without a prototype', async () => {
    await using scene = await open()
    class Options {
      readonly ttl = '1m'
    }
    await scene.queue.send(1, new Options() as never)
    await scene.queue.send(1, Object.assign(Object.create(null), { ttl: '1m' }) as never)
    expect(await scene.queue.count()).toMatchObject({ ready: 2 })
  })
})

/** Every public function that takes a contract, and what it wants. */
const takesContracts: readonly (readonly [string, 'queue' | 'event' | 'call', Give])[] = [
  ['createQueue', 'queue', ({ bus }, bad) => bus.createQueue(bad)],
  ['openQueue', 'queue', ({ bus }, bad) => bus.openQueue(bad)],
  ['emit', 'event', ({ bus }, bad) => bus.emit(bad, 1)],
  ['on', 'event', ({ bus }, bad) => bus.on(bad, handler)],
  ['on as a subscriber', 'event', ({ bus }, bad) => bus.on(bad, handler, { durable: 'books' })],
  ['once', 'event', ({ bus }, bad) => bus.once(bad, handler)],
  ['off', 'event', ({ bus }, bad) => bus.off(bad, handler)],
  ['events', 'event', ({ bus }, bad) => bus.events(bad)],
  ['call', 'call', ({ bus }, bad) => bus.call(bad, 1)],
  ['answer', 'call', ({ bus }, bad) => bus.answer(bad, () => 1)],
  ['callError', 'call', (_scene, bad) => callError(bad, 'sold' as never, 1 as never)],
  ['child', 'queue', (_scene, bad) => child(bad, 1)],
  ['context.send', 'queue', inHandler((context, bad) => context.send(bad, 1))],
  ['context.emit', 'event', inHandler((context, bad) => context.emit(bad, 1))],
  ['context.call', 'call', inHandler((context, bad) => context.call(bad, 1))],
  ['context.emit in a thread', 'event', (_scene, bad) => inThread().emit(bad, 1)],
  ['context.call in a thread', 'call', (_scene, bad) => inThread().call(bad, 1)],
]

describe('a contract', () => {
  const bads: readonly unknown[] = [
    null,
    undefined,
    5,
    {},
    [],
    { name: 'jobs' },
    ...(['queue', 'event', 'call'] as const).flatMap((kind) => [
      { kind },
      { kind, name: 5 },
      { kind, name: '' },
      { kind, name: 'x'.repeat(300) },
      { kind, name: 'unchecked', input: 5 },
    ]),
    { kind: 'event', name: 'a..b' },
    { kind: 'call', name: 'price', errors: 5 },
  ]

  it.each(takesContracts)('for %s is one', async (_name, _kind, give) => {
    await using scene = await open()
    for (const bad of bads) {
      const error = await thrownBy(() => give(scene, bad as never))
      expect([bad, error]).toMatchObject([bad, { name: 'LeveretError', code: 'E_BAD_OPTION' }])
    }
  })

  it.each(takesContracts)('for %s is one of its kind (%s)', async (_name, kind, give) => {
    await using scene = await open()
    for (const other of [jobs, paid, price]) {
      if (other.kind === kind) continue
      const error = await thrownBy(() => give(scene, other as never))
      const text = `the contract of ${other.kind} '${other.name}' is given where`
      expect(error).toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining(text) })
    }
  })

  it('is no opened queue where an event or a call is wanted', async () => {
    await using scene = await open()
    const { bus, queue } = scene
    for (const run of [
      () => bus.emit(queue as never, 1),
      () => bus.call(queue as never, 1),
      () => bus.on(queue as never, handler),
    ]) {
      await expect(thrownBy(run)).resolves.toMatchObject({
        code: 'E_BAD_OPTION',
        message: expect.stringContaining("the opened queue 'jobs' is given where"),
      })
    }
  })

  it.each<[unknown, string]>([
    ['jobs', "schedule 'often': its target is 'jobs': give it a queue"],
    [null, 'its target is null'],
    [{}, 'its target is an object that is no contract'],
    [price, "the contract of call 'price' is no target, for nobody waits for an answer"],
    [{ kind: 'queue', name: 5 }, "a queue's name is text, not 5"],
    [{ kind: 'event' }, "an event's name is text, not undefined"],
  ])('for schedule is that of a queue or an event (%#)', async (target, text) => {
    await using scene = await open()
    const error = await thrownBy(() => scene.bus.schedule('often', '* * * * *', target as never, 1))
    expect(error).toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining(text) })
  })

  it('for context.send in a thread is one, or has the name of a queue', () => {
    const context = inThread()
    context.send({ name: 'jobs' }, 1)
    context.send(jobs, 1)
    expect(context.sends).toHaveLength(2)
    for (const bad of [null, 5, 'jobs', {}, { name: 5 }, { name: '' }, paid, price, { kind: 'queue' }]) {
      expect(() => context.send(bad as never, 1)).toThrow(expect.objectContaining({ code: 'E_BAD_OPTION' }))
    }
    for (const bad of [null, 5, []]) {
      expect(() => context.send(jobs, 1, bad as never)).toThrow('where an object of options is wanted')
      expect(() => context.emit(paid, 1, bad as never)).toThrow('where an object of options is wanted')
    }
  })

  it('of a call has its own name in errors', async () => {
    await using scene = await open()
    await expect(scene.bus.call(price, () => {})).rejects.toThrow("the data for call 'price' is a function")
    expect(() => defineCall(null as never)).toThrow("a call's name is text, not null")
  })
})

describe('a handler', () => {
  it.each<[string, Give]>([
    ['process', ({ queue }, bad) => queue.process(bad)],
    ['processBatch', ({ queue }, bad) => queue.processBatch(bad)],
    ['on', ({ bus }, bad) => bus.on(paid, bad)],
    ['once', ({ bus }, bad) => bus.once(paid, bad)],
    ['off', ({ bus }, bad) => bus.off(paid, bad)],
    ['answer', ({ bus }, bad) => bus.answer(price, bad)],
    [
      'the callback of call',
      ({ bus }, bad) => (bus.call as (...given: unknown[]) => unknown)(price, 1, {}, bad ?? null),
    ],
  ])('of %s is a function', async (_name, give) => {
    await using scene = await open()
    for (const bad of [undefined, null, 5, 'x', {}]) {
      expect(await thrownBy(() => give(scene, bad as never))).toMatchObject({
        code: 'E_BAD_OPTION',
        message: expect.stringContaining('function'),
      })
    }
  })
})

describe('a reason', () => {
  const bads: readonly unknown[] = [undefined, null, 5, {}, Symbol('s'), handler]

  it.each(bads)('for context.deadLetter is text, not %s; else the attempt has failed', async (bad) => {
    await using scene = await open()
    const own = await scene.bus.createQueue('own', { retry: { attempts: 1 } })
    own.process((_message, context) => context.deadLetter(bad as never))
    own.processBatch((_messages, context) => context.deadLetter(bad as never))
    const sends = [own.send(1, { receipt: true }), own.send(1, { receipt: true })]
    for (const receipt of await Promise.all(sends)) {
      await expect(scene.test.run(receipt.processed())).rejects.toThrow('context.deadLetter: the reason is')
    }
  })

  it.each(bads.slice(1))('for reject is text, not %s, and the message can still be settled', async (bad) => {
    await using scene = await open()
    const message = await received(scene.queue)
    await expect(message.reject(bad as never)).rejects.toMatchObject({
      code: 'E_BAD_OPTION',
      message: expect.stringContaining("queue 'jobs': reject: the reason is"),
    })
    await message.ack()
  })
})

describe('children', () => {
  it.each<[unknown, string]>([
    [5, 'children is 5'],
    [null, 'children is null'],
    [[null], 'children[0] is null'],
    [[{ to: null, data: 1, options: {} }], "children[0]: child: null is given where a queue's contract"],
    [[{ to: jobs, data: 1 }], 'undefined is given where an object of options is wanted'],
    [[{ to: jobs, data: 1, options: { receipt: true } }], "there is no option 'receipt'"],
  ])('are what child gives (%#)', async (children, text) => {
    await using scene = await open()
    const error = await thrownBy(() => scene.queue.send(1, { children } as never))
    expect(error).toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining(text) })
    expect(await scene.queue.count()).toMatchObject({ ready: 0 })
  })

  it('are no children of their own, and no endless line', async () => {
    await using scene = await open()
    const cycle: Child[] = []
    cycle.push(child(jobs, 1, { children: cycle }))
    await expect(scene.queue.send(1, { children: cycle })).rejects.toThrow('a child is among its own children')
    let line: Child[] = []
    for (let generation = 0; generation < 9_000; generation++) line = [child(jobs, 1, { children: line })]
    await expect(scene.queue.send(1, { children: line })).rejects.toMatchObject({
      code: 'E_BAD_OPTION',
      message: expect.stringContaining('generations'),
    })
  })
})

describe('many at once', () => {
  it.each([5, null, undefined, 'abc', Buffer.from('abc'), {}, Promise.resolve([1])])(
    'are a list, not %s',
    async (bad) => {
      await using scene = await open()
      const error = await thrownBy(() => scene.queue.sendMany(bad as never))
      expect(error).toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining('sendMany wants an array') })
    },
  )

  it('may be a Set, or come from a generator', async () => {
    await using scene = await open()
    function* three(): Generator<number> {
      yield* [1, 2, 3]
    }
    expect(await scene.queue.sendMany(new Set([1, 2]) as never)).toHaveLength(2)
    expect(await scene.queue.sendMany(three() as never)).toHaveLength(3)
    expect(await scene.queue.count()).toMatchObject({ ready: 5 })
  })
})

describe('an administrator', () => {
  it.each<[unknown, string, string]>([
    [null, 'E_BAD_OPTION', 'administer: null is no command'],
    [{}, 'E_BAD_OPTION', 'administer: the type undefined is no command'],
    [{ type: 5 }, 'E_BAD_OPTION', 'administer: the type 5 is no command'],
    [{ type: 'leveret.nonsense' }, 'E_BAD_OPTION', "administer: the type 'leveret.nonsense' is no command"],
    [{ type: 'leveret.delete-user', user: 5 }, 'PRECONDITION_FAILED', 'delete-user: user cannot be 5'],
    [{ type: 'leveret.put-user' }, 'PRECONDITION_FAILED', 'put-user: user is missing'],
    [{ type: 'leveret.delete-user', user: 5n }, 'E_BAD_OPTION', "'leveret.delete-user' cannot be written as JSON"],
  ])('gives a command (%#)', async (command, code, text) => {
    await using scene = await open()
    const error = await thrownBy(() => scene.bus.administer(command as never))
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) })
  })

  it.each([null, 5, 'text', []])('gives definitions, not %j', async (bad) => {
    await using scene = await open()
    const error = await thrownBy(() => scene.bus.importDefinitions(bad as never))
    expect(error).toMatchObject({ code: 'E_BAD_DEFINITIONS', message: expect.stringContaining('nothing was imported') })
  })

  it('has a password that is text', async () => {
    for (const bad of [null, 5, Buffer.from('x')]) {
      await expect(hashPassword(bad as never)).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    }
  })
})

describe('a schedule', () => {
  it.each<[unknown, object, string]>([
    [{ every: 0 }, {}, "schedule 'often': every, in milliseconds, is 0, and has to be"],
    [{ every: '99ms' }, {}, 'every, in milliseconds, is 99'],
    ['0 0 30 2 *', {}, /: schedule 'often': '0 0 30 2 \*' is a time that never comes/.source],
    ['* * * * *', { key: 'a' }, "schedule 'often': queue 'jobs' keeps no order per key: create it with"],
  ])('is refused with one name, that of the schedule (%#)', async (when, options, text) => {
    await using scene = await open()
    const error = await thrownBy(() => scene.bus.schedule('often', when as never, jobs, 1, options))
    expect(error).toMatchObject({ code: 'E_BAD_OPTION' })
    const { message } = error as Error
    expect(message).toMatch(text.startsWith(':') ? new RegExp(text) : text)
    expect(message.match(/schedule/g)).toHaveLength(1)
    expect(await scene.bus.schedules()).toEqual([])
  })
})
