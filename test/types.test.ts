// What the compiler says to users: inference from contracts, and what it refuses. `npm run typecheck` is what judges this file.
import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type Bus,
  type CallContract,
  connect,
  defineCall,
  defineEvent,
  defineHandler,
  defineQueue,
  type EventContract,
  type InboxOutcome,
  type IncomingMessage,
  type LeveretError,
  type Queue,
  type QueueContract,
  type QueuedMessage,
  type Receipt,
  type Schedule,
  type Sent,
  type StandardSchema,
  type ThreadHandler,
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
