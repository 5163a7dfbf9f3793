// What the compiler says to users: inference from contracts, and what it refuses. `npm run typecheck` is what judges this file.
import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type Bus,
  type CallContract,
  type CallError,
  type Child,
  type ChildOutcome,
  callError,
  child,
  connect,
  type DurableSubscription,
  defineCall,
  defineEvent,
  defineHandler,
  defineQueue,
  type EventContract,
  type EventHandler,
  type EventStream,
  type HandlerContext,
  type InboxOutcome,
  type IncomingMessage,
  isCallError,
  type LeveretError,
  type LeveretErrorCode,
  type Queue,
  type QueueContract,
  type QueuedMessage,
  type Receipt,
  type Schedule,
  type Sent,
  type StandardSchema,
  type SubscriberHandler,
  type Subscription,
  type ThreadHandler,
  type Worker,
} from '../src/index.ts'

function schema<Input, Output>(): StandardSchema<Input, Output> {
  return { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as Output }) } }
}

/** Compiled, not run. */
function compiled(body: (bus: Bus) => Promise<void>): void {
  expect(body).toBeTypeOf('function')
}

describe('a contract', () => {
  it('is inferred from its schemas, and both sides of each are kept apart', () => {
    const days = defineQueue('days', { input: schema<string, Date>(), result: schema<number, string>() })
    expectTypeOf(days).toEqualTypeOf<QueueContract<string, string, Date, number>>()
    const resized = defineEvent('image.resized', schema<string, URL>())
    expectTypeOf(resized).toEqualTypeOf<EventContract<string, URL>>()
    const price = defineCall('price', { input: schema<string, Date>(), result: schema<number, string>() })
    expectTypeOf(price).toEqualTypeOf<CallContract<string, string, Date, number>>()
  })

  it('may have plain types, one schema, or nothing', () => {
    expectTypeOf(defineQueue<{ file: string }, number>('x')).toEqualTypeOf<QueueContract<{ file: string }, number>>()
    expectTypeOf(defineQueue('x', { input: schema<string, Date>() })).toEqualTypeOf<
      QueueContract<string, unknown, Date, unknown>
    >()
    expectTypeOf(defineQueue('x')).toEqualTypeOf<QueueContract>()
    expectTypeOf(defineQueue('x', {})).toEqualTypeOf<QueueContract>()
    expectTypeOf(defineEvent<number>('x')).toEqualTypeOf<EventContract<number>>()
    expectTypeOf(defineEvent('x')).toEqualTypeOf<EventContract>()
    expectTypeOf(defineCall<string, number>('x')).toEqualTypeOf<CallContract<string, number>>()
  })
})

describe('a schedule', () => {
  it('takes the data that its target takes', () => {
    compiled(async (bus) => {
      const days = defineQueue('days', { input: schema<string, Date>() })
      const opened = await bus.createQueue<{ n: number }>('typed')
      const schedule = await bus.schedule('nightly', '0 3 * * *', days, 'monday', { timezone: 'UTC', missed: 'skip' })
      expectTypeOf(schedule).toEqualTypeOf<Schedule>()
      expectTypeOf(schedule.nextAt).toEqualTypeOf<Date | null>()
      await bus.schedule('often', { every: '10m' }, opened, { n: 1 }, { key: 'k' })
      await bus.schedule('told', { every: 1_000 }, defineEvent<number>('tick'), 1)
      // @ts-expect-error A queue's schedule sends what the queue takes.
      await bus.schedule('nightly', '0 3 * * *', days, 7)
      // @ts-expect-error So does that of an opened queue,
      await bus.schedule('often', { every: '10m' }, opened, { n: 'one' })
      // @ts-expect-error and that of an event,
      await bus.schedule('told', { every: '10m' }, defineEvent<number>('tick'), 'one')
      // @ts-expect-error which has no keys.
      await bus.schedule('told', { every: '10m' }, defineEvent<number>('tick'), 1, { key: 'k' })
      // @ts-expect-error A duration has a unit.
      await bus.schedule('often', { every: '10' }, opened, { n: 1 })
    })
  })
})

describe('a queue', () => {
  it('takes what its contract says, from a schema, a type parameter or a name alone', () => {
    compiled(async (bus) => {
      const days = await bus.createQueue(defineQueue('days', { input: schema<string, Date>() }))
      expectTypeOf(days).toEqualTypeOf<Queue<string, unknown, Date, unknown>>()
      const typed = await bus.createQueue<{ n: number }, boolean>('typed')
      expectTypeOf(typed).toEqualTypeOf<Queue<{ n: number }, boolean>>()
      await typed.send({ n: 1 })
      // @ts-expect-error the data are of another type
      await typed.send({ n: '1' })
      const both = defineQueue('both', { input: schema<string, Date>(), result: schema<number, string>() })
      expectTypeOf(await bus.createQueue(both)).toEqualTypeOf<Queue<string, string, Date, number>>()
      const plain = await bus.createQueue(defineQueue<string, number>('plain'))
      expectTypeOf(plain).toEqualTypeOf<Queue<string, number>>()
      expectTypeOf(await bus.createQueue(defineQueue('x', {}))).toEqualTypeOf<Queue>()
      const open = await bus.createQueue('open')
      expectTypeOf(open).toEqualTypeOf<Queue>()
      await open.send('anything')
      // @ts-expect-error there is no such option
      await bus.createQueue('x', { keys: { concurency: 1 } })
      // @ts-expect-error a rate is a number and a unit
      await bus.createQueue('x', { keys: { rate: '10 per second' } })
      // @ts-expect-error a time is a number of milliseconds, or text with a unit
      await bus.createQueue('x', { ttl: 'soon' })
    })
  })

  it('gives a receipt to those who ask, and to nobody else', () => {
    compiled(async (bus) => {
      const queue = await bus.createQueue<number, { bytes: number }>('q')
      expectTypeOf(queue.send(1)).resolves.toEqualTypeOf<Sent>()
      expectTypeOf(queue.send(1, { key: 'k', idempotencyKey: 'i', delay: '5s' })).resolves.toEqualTypeOf<Sent>()
      expectTypeOf(queue.sendMany([1, 2])).resolves.toEqualTypeOf<Sent[]>()
      expectTypeOf(queue.send(1, { receipt: true })).resolves.toEqualTypeOf<Receipt<{ bytes: number }>>()
      expectTypeOf(queue.send(1, { sender: 'web-1' })).resolves.toEqualTypeOf<Receipt<{ bytes: number }>>()
      expectTypeOf(queue.send(1, { onDelivered() {} })).resolves.toEqualTypeOf<Receipt<{ bytes: number }>>()
      const onProgress = (share: number): void => void share
      expectTypeOf(queue.send(1, { onProgress })).resolves.toEqualTypeOf<Receipt<{ bytes: number }>>()
      await queue.send(1, {
        onProcessed(error, result) {
          expectTypeOf(error).toEqualTypeOf<LeveretError | null>()
          expectTypeOf(result).toEqualTypeOf<{ bytes: number } | undefined>()
        },
      })
      // @ts-expect-error nobody asked
      void (await queue.send(1)).processed
    })
  })

  it('hands its handlers what the schema makes of the data, and takes what they return', () => {
    compiled(async (bus) => {
      const contract = defineQueue('days', { input: schema<string, Date>(), result: schema<number, string>() })
      const queue = await bus.createQueue(contract)
      const done = defineEvent<{ day: number }>('done')
      queue.process((message, context) => {
        expectTypeOf(message).toEqualTypeOf<IncomingMessage<Date>>()
        expectTypeOf(context.send(contract, '2026', { receipt: true }).processed()).resolves.toEqualTypeOf<string>()
        expectTypeOf(context.send(queue, '2026')).toEqualTypeOf<Sent>()
        expectTypeOf(context.send(queue, '2026', { receipt: true }).processed()).resolves.toEqualTypeOf<string>()
        // @ts-expect-error the queue takes other data
        context.send(queue, 2026)
        context.emit(done, { day: 1 })
        // @ts-expect-error the event has other data
        context.emit(done, { day: '1' })
        if (context.attempt > 2) return context.deadLetter('no')
        return context.attempt > 1 ? context.retry({ after: '5s' }) : message.data.getTime()
      })
      // @ts-expect-error the handler's result is of another type
      queue.process(() => 'no')
      queue.processBatch((messages, context) => {
        expectTypeOf(messages).toEqualTypeOf<readonly IncomingMessage<Date>[]>()
        return messages.map(({ data }) => (data.getTime() > 0 ? 1 : context.retry()))
      })
      queue.processBatch(async () => {})
      // @ts-expect-error one result for each, of the contract's type
      queue.processBatch(() => ['no'])
      for await (const message of queue.receive()) {
        expectTypeOf(message.data).toEqualTypeOf<Date>()
        await message.ack(1)
        // @ts-expect-error the result is of another type
        await message.ack('no')
      }
      for await (const message of queue.receive({ raw: true })) expectTypeOf(message.data).toEqualTypeOf<Buffer>()
      for await (const message of queue.peek()) expectTypeOf(message).toEqualTypeOf<QueuedMessage>()
    })
  })
})

describe('a bus', () => {
  it('emits what an event says, and tells what became of a sender’s messages', () => {
    compiled(async (bus) => {
      const done = defineEvent<{ day: number }>('done')
      expectTypeOf(bus.emit(done, { day: 1 })).resolves.toEqualTypeOf<Sent>()
      // @ts-expect-error the event has other data
      await bus.emit(done, 1)
      await bus.emit('any.name', 'anything')
      for await (const outcome of bus.receipts({ sender: 'web-1' })) expectTypeOf(outcome).toEqualTypeOf<InboxOutcome>()
      expectTypeOf(connect).returns.resolves.toEqualTypeOf<Bus>()
    })
  })
})

describe('a handler in a file of its own', () => {
  it('is typed by the contract of its queue', () => {
    const days = defineQueue('days', { input: schema<string, Date>(), result: schema<number, string>() })
    const handler = defineHandler(days, ({ data }, context) => {
      expectTypeOf(data).toEqualTypeOf<Date>()
      expectTypeOf(context.send(days, 'monday')).toEqualTypeOf<void>()
      // @ts-expect-error the data are of another type
      context.send(days, new Date(0))
      return context.attempt > 1 ? context.retry() : data.getDay()
    })
    expectTypeOf(handler).toEqualTypeOf<ThreadHandler<Date, number>>()
    // @ts-expect-error the result is of another type
    defineHandler(days, () => 'monday')
  })
})

describe('events', () => {
  it('are heard as what the schema makes of them, in listeners, subscribers and loops', () => {
    compiled(async (bus) => {
      const filed = defineEvent('page.filed', schema<string, URL>())
      expectTypeOf(bus.emit(filed, 'https://example.org')).resolves.toEqualTypeOf<Sent>()
      // @ts-expect-error what is emitted is what goes into the schema
      await bus.emit(filed, new URL('https://example.org'))
      // @ts-expect-error the data are missing
      await bus.emit(filed)
      // @ts-expect-error an event has no delay
      await bus.emit(filed, 'https://example.org', { delay: '5s' })

      const live = bus.on(filed, (event) => expectTypeOf(event).toEqualTypeOf<IncomingMessage<URL>>())
      expectTypeOf(live).resolves.toEqualTypeOf<Subscription>()
      const first = bus.once(filed, ({ data }) => expectTypeOf(data).toEqualTypeOf<URL>(), {
        signal: new AbortController().signal,
      })
      expectTypeOf(first).resolves.toEqualTypeOf<Subscription>()
      // @ts-expect-error the handler wants other data
      await bus.on(filed, ({ data }: IncomingMessage<number>) => data)
      // @ts-expect-error a live listener has no context
      await bus.on(filed, (_event, context: HandlerContext) => context.attempt)
      // @ts-expect-error once is for live listeners
      await bus.once(filed, () => {}, { durable: 'filing' })

      const durable = bus.on(
        filed,
        ({ data }, context) => {
          expectTypeOf(data).toEqualTypeOf<URL>()
          expectTypeOf(context).toEqualTypeOf<HandlerContext>()
          return context.attempt > 2 ? context.deadLetter('no') : undefined
        },
        { durable: 'filing', concurrency: 4, retry: { attempts: 5, min: '1s' }, expires: '30d' },
      )
      expectTypeOf(durable).resolves.toEqualTypeOf<DurableSubscription<string, URL>>()
      expectTypeOf((await durable).queue).toEqualTypeOf<Queue<string, void, URL>>()
      const byPattern = bus.on('file.*', () => {}, { durable: 'all' })
      expectTypeOf(byPattern).resolves.toEqualTypeOf<DurableSubscription>()
      // @ts-expect-error concurrency and retry are a durable subscriber's
      await bus.on(filed, () => {}, { concurrency: 4 })
      // @ts-expect-error there is no such option
      await bus.on(filed, () => {}, { durable: 'filing', concurency: 4 })

      for await (const event of bus.events(filed)) expectTypeOf(event).toEqualTypeOf<IncomingMessage<URL>>()
      for await (const event of bus.events(filed, { durable: 'filing' })) expectTypeOf(event.data).toEqualTypeOf<URL>()
      expectTypeOf(bus.events('page.*')).toEqualTypeOf<EventStream>()
    })
  })

  it('that match a pattern may be anything', () => {
    compiled(async (bus) => {
      await bus.on('page.*', (event) => expectTypeOf(event).toEqualTypeOf<IncomingMessage>())
      await bus.on('page.*', ({ data }) => void expectTypeOf(data).toEqualTypeOf<unknown>(), { durable: 'audit' })
      // @ts-expect-error nobody knows what the data of a pattern are
      await bus.on('page.*', ({ data }) => data.href)
    })
  })

  it('are no longer heard by the handler that is given to off', () => {
    compiled(async (bus) => {
      const filed = defineEvent('page.filed', schema<string, URL>())
      const handler: EventHandler<URL> = ({ data }) => data.href
      await bus.on(filed, handler)
      expectTypeOf(bus.off(filed, handler)).resolves.toEqualTypeOf<number>()
      const subscriber: SubscriberHandler<URL> = (_event, context) => context.progress(1)
      await bus.on(filed, subscriber, { durable: 'filing' })
      await bus.off(filed, subscriber)
      // @ts-expect-error a handler of other data cannot have been listening
      await bus.off(filed, ({ data }: IncomingMessage<number>) => data)
      expectTypeOf(bus.unsubscribe('filing')).resolves.toEqualTypeOf<number>()
    })
  })
})

describe('a call', () => {
  const price = defineCall('price', {
    input: schema<string, Date>(),
    result: schema<number, string>(),
    errors: { soldOut: schema<{ left: number }, { left: number }>() },
  })

  it('takes and gives what its contract says, as a promise or to a callback', () => {
    compiled(async (bus) => {
      expectTypeOf(bus.call(price, '2026')).resolves.toEqualTypeOf<string>()
      expectTypeOf(
        bus.call(price, '2026', { timeout: '2s', durable: true, sender: 'web-1' }),
      ).resolves.toEqualTypeOf<string>()
      expectTypeOf(bus.call('price', 1)).resolves.toEqualTypeOf<unknown>()
      expectTypeOf(
        bus.call(defineCall<{ sku: string }, number>('plain'), { sku: 'x' }),
      ).resolves.toEqualTypeOf<number>()
      const told = bus.call(price, '2026', (error, result) => {
        expectTypeOf(error).toEqualTypeOf<Error | null>()
        expectTypeOf(result).toEqualTypeOf<string | undefined>()
      })
      expectTypeOf(told).toEqualTypeOf<void>()
      bus.call(price, '2026', { timeout: '2s' }, (_error, result) =>
        expectTypeOf(result).toEqualTypeOf<string | undefined>(),
      )
      // @ts-expect-error what is asked is what goes into the schema
      await bus.call(price, new Date())
      // @ts-expect-error a time is a number of milliseconds, or text with a unit
      await bus.call(price, '2026', { timeout: 'soon' })
      // @ts-expect-error there is no such option
      await bus.call(price, '2026', { retry: { attempts: 3 } })
      // @ts-expect-error the callback wants another result
      void bus.call(price, '2026', (_error: Error | null, result?: number) => result)
    })
  })

  it('is answered with what its schema takes', () => {
    compiled(async (bus) => {
      const answerer = bus.answer(price, (day, context, message) => {
        expectTypeOf(day).toEqualTypeOf<Date>()
        expectTypeOf(context).toEqualTypeOf<HandlerContext>()
        expectTypeOf(message).toEqualTypeOf<IncomingMessage<Date>>()
        return day.getTime()
      })
      expectTypeOf(answerer).resolves.toEqualTypeOf<Worker>()
      await bus.answer(price, async (day) => day.getTime(), {
        concurrency: 4,
        retry: { attempts: 2 },
        deadLetter: false,
      })
      await bus.answer('price', (data) => expectTypeOf(data).toEqualTypeOf<unknown>())
      // @ts-expect-error the answer is of another type
      await bus.answer(price, () => '2026')
      // @ts-expect-error there is no such option
      await bus.answer(price, () => 1, { timeout: '2s' })
    })
  })

  it('fails with the errors that it declares, and with their data', () => {
    compiled(async (bus) => {
      await bus.answer(price, () => {
        throw callError(price, 'soldOut', { left: 3 })
      })
      // @ts-expect-error the contract declares no such error
      callError(price, 'tooDear', { left: 3 })
      // @ts-expect-error the error has other data
      callError(price, 'soldOut', { left: '3' })
      // @ts-expect-error this contract declares no errors
      callError(defineCall<string, number>('plain'), 'soldOut', { left: 3 })
      const error: unknown = await bus.call(price, '2026').catch((thrown: unknown) => thrown)
      if (isCallError(error, price, 'soldOut')) {
        expectTypeOf(error).toExtend<CallError>()
        expectTypeOf(error.code).toEqualTypeOf<LeveretErrorCode>()
        expectTypeOf(error.remote.name).toEqualTypeOf<'soldOut'>()
        expectTypeOf(error.remote.data).toEqualTypeOf<{ left: number }>()
      }
      // @ts-expect-error the contract declares no such error
      isCallError(error, price, 'tooDear')
      const plain = defineCall<string, number, { soldOut: { left: number } }>('plain')
      if (isCallError(error, plain, 'soldOut')) expectTypeOf(error.remote.data).toEqualTypeOf<{ left: number }>()
    })
  })

  it('may be made in a handler', () => {
    compiled(async (bus) => {
      const offer = defineCall<string, string>('offer')
      await bus.answer(offer, async (sku, context) => {
        expectTypeOf(context.deadline).toEqualTypeOf<Date | null>()
        expectTypeOf(context.call(price, sku)).resolves.toEqualTypeOf<string>()
        expectTypeOf(context.call('price', sku)).resolves.toEqualTypeOf<unknown>()
        // @ts-expect-error the call takes other data
        await context.call(price, 1)
        // @ts-expect-error in a handler a call gives a promise, and takes no callback
        void context.call(price, sku, () => {})
        return context.call(price, sku, { timeout: '1s' })
      })
    })
  })
})

describe('a family', () => {
  it('has children for queues that take their data, and a parent that sees what became of them', () => {
    compiled(async (bus) => {
      const days = await bus.createQueue(defineQueue('days', { input: schema<string, Date>() }))
      const plain = await bus.createQueue<number, boolean>('plain')
      const album = await bus.createQueue<string, number>('album')
      expectTypeOf(child(days, '2026')).toEqualTypeOf<Child>()
      const contract = defineQueue('days', { input: schema<string, Date>() })
      expectTypeOf(child(contract, '2026')).toEqualTypeOf<Child>()
      // @ts-expect-error so does its contract
      child(contract, new Date())
      expectTypeOf(
        child(plain, 1, { delay: '5s', priority: 2, children: [child(days, '2026')] }),
      ).toEqualTypeOf<Child>()
      // @ts-expect-error the queue takes other data
      child(days, new Date())
      // @ts-expect-error the queue takes other data
      child(plain, '1')
      // @ts-expect-error its outcome goes to its parent, and to nobody else
      child(plain, 1, { receipt: true })
      const children = [child(days, '2026'), child(plain, 1)]
      expectTypeOf(album.send('holidays', { children })).resolves.toEqualTypeOf<Sent>()
      expectTypeOf(album.send('holidays', { children, receipt: true })).resolves.toEqualTypeOf<Receipt<number>>()
      await album.send('holidays', { children, childFailure: 'spare' })
      // @ts-expect-error a failure is the parent's, or is spared
      await album.send('holidays', { children, childFailure: 'ignore' })
      // @ts-expect-error a child is what child() gives
      await album.send('holidays', { children: ['a.png'] })
      album.process((_message, context) => {
        expectTypeOf(context.children).toEqualTypeOf<readonly ChildOutcome[]>()
        return context.children.length
      })
    })
  })
})
