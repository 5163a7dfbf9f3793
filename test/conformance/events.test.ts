// Publish and subscribe: live listeners, durable subscribers, and events one by one.
import { expect } from 'vitest'
import { defineEvent, type IncomingMessage as EventMessage } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, Gate } from './scene.ts'
import { day, schemaOf } from './schemas.ts'

conformance((test) => {
  test('a listener hears what is emitted while it listens, and from other processes too', async (scene) => {
    const { bus, name, another } = scene
    const resized = defineEvent<{ file: string }>(name('image'))
    await bus.emit(resized, { file: 'before' })
    const heard = new Arrivals<EventMessage<{ file: string }>>()
    const subscription = await bus.on(resized, heard.add)
    await bus.emit(resized, { file: 'a.png' })
    await (await another()).emit(resized, { file: 'b.png' })
    const events = await heard.first(2)
    expect(events.map((event) => [event.name, event.data.file])).toEqual([
      [resized.name, 'a.png'],
      [resized.name, 'b.png'],
    ])
    await subscription.close()
    await bus.emit(resized, { file: 'after' })
    expect(heard.all).toHaveLength(2)
  })

  test('a pattern hears all whose names match: * is one word, # any number of them', async ({ bus, name }) => {
    const word = name('image').replaceAll('.', '-')
    const heard: string[] = []
    const all = new Arrivals<string>()
    await bus.on(`${word}.*`, (event) => void heard.push(`* ${event.name.slice(word.length)}`))
    await bus.on(`${word}.#`, (event) => void heard.push(`# ${event.name.slice(word.length)}`))
    await bus.on(`${word}.*.big`, (event) => void heard.push(`*.big ${event.name.slice(word.length)}`))
    await bus.on(`${word}.end`, () => all.add('end'))
    for (const end of ['', '.resized', '.resized.big', '.end']) await bus.emit(word + end, end)
    await all.first(1)
    expect(heard.toSorted()).toEqual(
      ['# ', '# .resized', '# .resized.big', '# .end', '* .resized', '* .end', '*.big .resized.big'].toSorted(),
    )
  })

  test('each event comes once to each listener, however many of its patterns overlap', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    const heard = new Arrivals<string>()
    await bus.on(event, ({ data }) => heard.add(`first ${data}`))
    await bus.on(event, ({ data }) => heard.add(`second ${data}`))
    await bus.on('#', ({ name: of, data }) => of === event.name && heard.add(`all ${String(data)}`))
    await bus.emit(event, 1)
    await bus.emit(event, 2)
    expect((await heard.first(6)).toSorted()).toEqual(['all 1', 'all 2', 'first 1', 'first 2', 'second 1', 'second 2'])
  })

  test('once hears one, and off ends what on began', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    const heard = new Arrivals<string>()
    const listener = ({ data }: EventMessage<number>): void => heard.add(`on ${data}`)
    await bus.once(event, ({ data }) => heard.add(`once ${data}`))
    await bus.on(event, listener)
    await bus.emit(event, 1)
    await bus.emit(event, 2)
    await heard.first(3)
    expect(await bus.off(event, listener)).toBe(1)
    expect(await bus.off(event, listener)).toBe(0)
    await bus.emit(event, 3)
    const last = new Arrivals<number>()
    await bus.on(event, ({ data }) => last.add(data))
    await bus.emit(event, 4)
    await last.first(1)
    expect(heard.all).toEqual(['once 1', 'on 1', 'on 2'])
  })

  test('a listener that throws, or rejects, harms no other', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    const heard = new Arrivals<number>()
    await bus.on(event, () => {
      throw new Error('one that throws')
    })
    await bus.on(event, () => Promise.reject(new Error('one that rejects')))
    await bus.on(event, ({ data }) => heard.add(data))
    await bus.emit(event, 1)
    await bus.emit(event, 2)
    expect(await heard.first(2)).toEqual([1, 2])
  })

  test('a signal ends the listening', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    const [heard, stop] = [new Arrivals<number>(), new AbortController()]
    await bus.on(event, ({ data }) => heard.add(data), { signal: stop.signal })
    await bus.emit(event, 1)
    await heard.first(1)
    stop.abort()
    const last = new Arrivals<number>()
    await bus.on(event, ({ data }) => last.add(data))
    await bus.emit(event, 2)
    await last.first(1)
    expect(heard.all).toEqual([1])
    expect(await codeOf(bus.on(event, () => {}, { signal: stop.signal }))).not.toBe('nothing')
  })

  test('a schema is asked where an event enters and where it leaves', async ({ bus, name, another }) => {
    const event = defineEvent(name('dated'), day)
    const heard = new Arrivals<number>()
    await bus.on(event, ({ data }) => heard.add(data.ms))
    expect(await codeOf(bus.emit(event, { day: 'none' }))).toBe('E_BAD_DATA')
    await bus.emit(defineEvent(event.name), { day: 'none' })
    expect(await codeOf(bus.emit(event.name, { day: 'none' }))).toBe('E_BAD_DATA')
    // Somebody who knows no schema; the listener never sees it.
    await (await another()).emit(event.name, { day: 'none' })
    await bus.emit(event, { day: '2026-01-02' })
    expect(await heard.first(1)).toEqual([Date.UTC(2026, 0, 2)])
  })

  test('a durable subscriber gets what came while it was away, and works as a queue does', async (scene) => {
    const { bus, name, another } = scene
    const event = defineEvent<number>(name('order'))
    const durable = name('indexer')
    const first = await bus.on(event, () => {}, { durable })
    await first.close()
    await bus.emit(event, 1)
    await bus.emit(event, 2)
    const heard = new Arrivals<string>()
    const second = await (await another()).on(
      event,
      ({ data, name: of }, context) => {
        heard.add(`${of === event.name} ${data} ${context.attempt}`)
        if (data === 1 && context.attempt === 1) throw new Error('not yet')
      },
      { durable, retry: { attempts: 2, min: 1, max: 5 }, onError() {} },
    )
    // The copy for another attempt knows whose event it was.
    expect((await heard.first(3)).toSorted()).toEqual(['true 1 1', 'true 1 2', 'true 2 1'])
    expect(second.pattern).toBe(event.name)
    await second.close()
    expect(await bus.unsubscribe(durable)).toBe(0)
  })

  test('subscribers of one name share the events, those of others get them too', async (scene) => {
    const { bus, name, another } = scene
    const event = defineEvent<number>(name('order'))
    const [indexer, mailer] = [name('indexer'), name('mailer')]
    const [shared, mailed] = [new Arrivals<string>(), new Arrivals<number>()]
    const gate = new Gate()
    const work =
      (who: string) =>
      async ({ data }: EventMessage<number>) => {
        shared.add(`${who} ${data}`)
        await gate.opened
      }
    await bus.on(event, work('one'), { durable: indexer, prefetch: 1 })
    await (await another()).on(event, work('two'), { durable: indexer, prefetch: 1 })
    await bus.on(event, ({ data }) => mailed.add(data), { durable: mailer })
    await bus.emit(event, 1)
    await bus.emit(event, 2)
    await shared.first(2)
    gate.open()
    expect(new Set(shared.all.map((text) => text.split(' ')[0]))).toEqual(new Set(['one', 'two']))
    expect(await mailed.first(2)).toEqual([1, 2])
  })

  test('the name of a durable subscriber stands for one pattern', async ({ bus, name }) => {
    const durable = name('indexer')
    const [one, other] = [name('one'), name('other')]
    const subscription = await bus.on(one, () => {}, { durable })
    await subscription.close()
    expect(await codeOf(bus.on(other, () => {}, { durable }))).toBe('E_QUEUE_DIFFERS')
    await bus.emit(one, 1)
    expect(await bus.unsubscribe(durable)).toBe(1)
    const again = await bus.on(other, () => {}, { durable })
    expect(again.pattern).toBe(other)
  })

  test('events come one by one, for await', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    await using events = bus.events(event)
    await events.ready()
    for (const data of [1, 2, 3]) await bus.emit(event, data)
    const heard: number[] = []
    for await (const { data } of events) if (heard.push(data) === 3) break
    expect(heard).toEqual([1, 2, 3])
    expect(await events.next()).toEqual({ done: true, value: undefined })
  })

  test('a slow loop over live events keeps the newest', async ({ bus, name }) => {
    const event = defineEvent<number>(name('tick'))
    await using events = bus.events(event, { buffer: 2 })
    const all = new Arrivals<number>()
    await bus.on(event, ({ data }) => all.add(data))
    await events.ready()
    const first = events.next()
    for (const data of [1, 2, 3, 4, 5]) await bus.emit(event, data)
    await all.first(5)
    expect([await first, await events.next(), await events.next()].map(({ value }) => value?.data)).toEqual([1, 4, 5])
    expect(events.dropped).toBe(2)
  })

  test('a loop over live events gets them in order, checked one by one', async ({ bus, name }) => {
    const input = schemaOf<number, string>(async (value) => {
      if (value === 2) throw new Error('no two')
      for (let turn = value === 1 ? 5 : 0; turn > 0; turn--) await Promise.resolve()
      return `number ${String(value)}`
    })
    const event = defineEvent(name('tick'), input)
    await using events = bus.events(event)
    await events.ready()
    for (const data of [1, 2, 3]) await bus.emit(event.name, data)
    expect([await events.next(), await events.next()].map(({ value }) => value?.data)).toEqual(['number 1', 'number 3'])
  })

  test('a loop over durable events that is left in the middle gets that event again', async ({
    bus,
    name,
    another,
  }) => {
    const event = defineEvent<number>(name('order'))
    const durable = name('indexer')
    await using events = bus.events(event, { durable })
    await events.ready()
    for (const data of [1, 2, 3]) await bus.emit(event, data)
    for await (const { data } of events) if (data === 2) break
    const heard: number[] = []
    for await (const { data } of (await another()).events(event, { durable })) if (heard.push(data) === 2) break
    expect(heard).toEqual([2, 3])
  })

  test('what a handler emits is heard when it is done', async ({ bus, name }) => {
    const [queue, event] = [await bus.createQueue<number>(name()), defineEvent<number>(name('done'))]
    const heard = new Arrivals<number>()
    await bus.on(event, ({ data }) => heard.add(data))
    queue.process(({ data }, context) => void context.emit(event, data * 2))
    await queue.send(21)
    expect(await heard.first(1)).toEqual([42])
  })

  test('what is wrong with listening is said at once', async ({ bus, name }) => {
    const nothing = (): void => {}
    expect(await codeOf(bus.on('image..big', nothing))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.on('image.*big', nothing))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.on(name(), 5 as never))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.on(name(), nothing, { durable: '' }))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.on(name(), nothing, { durabel: 'x' } as never))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.once(name(), nothing, { durable: 'x' } as never))).toBe('E_BAD_OPTION')
    expect(() => bus.events(name(), { buffer: 0 })).toThrow('E_BAD_OPTION')
    expect(await codeOf(bus.unsubscribe(name('nobody')))).toBe('nothing')
  })

  test(
    'a durable subscriber outlives the broker',
    async ({ open, name }) => {
      const opened = await open()
      const event = defineEvent<number>(name('order'))
      const durable = name('indexer')
      await (await opened.bus.on(event, () => {}, { durable })).close()
      await opened.bus.emit(event, 1)
      const restarted = await opened.reopen()
      const heard = new Arrivals<number>()
      await restarted.on(event, ({ data }) => heard.add(data), { durable })
      await restarted.emit(event, 2)
      expect(await heard.first(2)).toEqual([1, 2])
    },
    { needs: 'restart' },
  )
})
