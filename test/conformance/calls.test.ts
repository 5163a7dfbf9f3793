// Request and reply: answers, errors, deadlines, cancellation, and what is promised when an answerer dies.
import { expect } from 'vitest'
import { type CallError, callError, defineCall, isCallError, type LeveretError } from '../../src/index.ts'
import { Arrivals, codeOf, conformance, Gate } from './scene.ts'
import { day, positive, schemaOf } from './schemas.ts'

conformance((test) => {
  test('a call is answered, by somebody in another process too', async ({ bus, name, another }) => {
    const price = defineCall<{ sku: string }, number>(name('price'))
    await (await another()).answer(price, async ({ sku }) => sku.length)
    expect(await bus.call(price, { sku: 'abc' })).toBe(3)
    expect(await Promise.all(['a', 'bb', 'ccc'].map((sku) => bus.call(price, { sku })))).toEqual([1, 2, 3])
  })

  test('a call waits for somebody who begins to answer in time', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    const answer = bus.call(price, 'abc')
    await bus.answer(price, (sku) => sku.length)
    expect(await answer).toBe(3)
  })

  test('nobody answers in time', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    await expect(bus.call(price, 'abc', { timeout: 20 })).rejects.toMatchObject({ code: 'E_TIMEOUT' })
    await expect(bus.call(price, 'abc', { timeout: 20 })).rejects.toThrow(`call '${price.name}' was not answered`)
  })

  test('callbacks are told once, the error first', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    await bus.answer(price, (sku) => {
      if (sku === '') throw new TypeError('no sku')
      return sku.length
    })
    const told = new Arrivals<unknown>()
    bus.call(price, 'abc', (error, result) => told.add([error, result]))
    await told.first(1)
    bus.call(price, '', { timeout: '5s' }, (error, result) => told.add([(error as CallError).remote.name, result]))
    expect(await told.first(2)).toEqual([
      [null, 3],
      ['TypeError', undefined],
    ])
  })

  test('what the answerer throws reaches the caller, with its name and code', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    await bus.answer(
      price,
      () => {
        throw Object.assign(new RangeError('too dear'), { code: 'E_DEAR' })
      },
      { onError() {} },
    )
    const failed = bus.call(price, 'abc')
    await expect(failed).rejects.toMatchObject({
      name: 'CallError',
      code: 'E_CALL_FAILED',
      remote: { name: 'RangeError', code: 'E_DEAR', data: undefined },
    })
    await expect(failed).rejects.toThrow(/too dear/)
  })

  test('declared errors carry data that their schema has seen', async ({ bus, name }) => {
    const price = defineCall(name('price'), { input: positive, result: positive, errors: { soldOut: day } })
    await bus.answer(price, (count) => {
      if (count === 1) throw callError(price, 'soldOut', { day: '2026-01-02' })
      return count
    })
    expect(await bus.call(price, 2)).toBe(2)
    const error: unknown = await bus.call(price, 1).catch((thrown: unknown) => thrown)
    expect(isCallError(error, price, 'soldOut')).toBe(true)
    expect((error as CallError).remote.data).toEqual({ ms: Date.UTC(2026, 0, 2) })
    expect(() => callError(price, 'soldOut', { day: 'none' })).toThrow('E_BAD_DATA')
    expect(await codeOf(bus.call(price, -1))).toBe('E_BAD_DATA')
  })

  test('a result that does not match its schema is an error on the side that made it', async ({ bus, name }) => {
    const price = defineCall(name('price'), { result: positive })
    await bus.answer(price, () => -1, { onError() {} })
    expect(await codeOf(bus.call(price, null))).not.toBe('nothing')
  })

  test('a result that is none is an error of its answerer, as if that had thrown it', async ({ bus, name }) => {
    const circle: unknown[] = []
    circle.push(circle)
    const bad: { readonly [what: string]: unknown } = {
      'a bigint': 5n,
      'a circle': circle,
      'a function': () => {},
      'a symbol': Symbol('x'),
      'what its schema does not know': -1,
    }
    const price = defineCall(name('price'), { result: schemaOf<unknown, unknown>((value) => value !== -1 && value) })
    const checked = defineCall(name('checked'), { result: positive })
    const heard = new Arrivals<unknown>()
    const onError = (error: unknown) => heard.add((error as LeveretError).code)
    await bus.answer(price, (what) => bad[what as string], { onError })
    await bus.answer(checked, (what) => bad[what as string] as number, { onError })
    for (const what of Object.keys(bad)) {
      const call = what.startsWith('what') ? checked : price
      await expect(bus.call(call, what), what).rejects.toMatchObject({
        name: 'CallError',
        code: 'E_CALL_FAILED',
        remote: { name: 'LeveretError', code: 'E_BAD_DATA', message: expect.stringContaining(`queue '${call.name}'`) },
      })
    }
    expect(await heard.first(5)).toEqual(Object.keys(bad).map(() => 'E_BAD_DATA'))
  })

  test('whatever an answerer throws reaches the caller as an error', async ({ bus, name }) => {
    const price = defineCall<number, never>(name('price'))
    const thrown = [
      undefined,
      null,
      0,
      'text',
      Symbol('x'),
      5n,
      Object.create(null),
      Object.assign(new Error(), { name: 5 }),
    ]
    const heard = new Arrivals<unknown>()
    const onError = (error: unknown) => heard.add(error)
    await bus.answer(
      price,
      (at) => {
        throw thrown[at]
      },
      { onError },
    )
    for (const at of thrown.keys()) {
      await expect(bus.call(price, at)).rejects.toMatchObject({ name: 'CallError', code: 'E_CALL_FAILED' })
    }
    expect(await heard.first(thrown.length)).toEqual(thrown)
  })

  test('so are a result, and the data of a declared error, that are larger than the broker takes', async ({
    bus,
    name,
  }) => {
    const price = defineCall<string, string, { odd: unknown }>(name('price'))
    const large = 'x'.repeat(17 << 20)
    await bus.answer(
      price,
      (what) => {
        if (what === 'throw') throw callError(price, 'odd', large)
        return what === 'return' ? large : 'fine'
      },
      { onError() {} },
    )
    const remote = { name: 'LeveretError', code: 'E_BAD_DATA' }
    await expect(bus.call(price, 'return')).rejects.toMatchObject({ code: 'E_CALL_FAILED', remote })
    await expect(bus.call(price, 'throw')).rejects.toMatchObject({ code: 'E_CALL_FAILED', remote })
    expect(await bus.call(price, 'neither')).toBe('fine')
  })

  test('a declared error whose data JSON has no word for is an error of its answerer', async ({ bus, name }) => {
    const price = defineCall<null, never, { odd: unknown }>(name('price'))
    await bus.answer(
      price,
      () => {
        throw callError(price, 'odd', 5n)
      },
      { onError() {} },
    )
    const { remote } = (await bus.call(price, null).catch((error: unknown) => error)) as CallError
    expect(remote).toMatchObject({ name: 'LeveretError', code: 'E_BAD_DATA' })
    expect(remote.message).toContain(`error 'odd' of call '${price.name}'`)
  })

  test('data that the answerer does not take are its error, which the caller is told', async ({ bus, name }) => {
    const price = defineCall(name('price'), { input: positive })
    const heard = new Arrivals<unknown>()
    await bus.answer(price, () => 1, { onError: (error) => heard.add((error as LeveretError).code) })
    await expect(bus.call(price.name, -1)).rejects.toMatchObject({
      code: 'E_CALL_FAILED',
      remote: { code: 'E_BAD_DATA', message: expect.stringContaining('does not match its schema') },
    })
    expect(heard.all).toEqual(['E_BAD_DATA'])
  })

  test('a caller who gives up aborts the answerer', async ({ bus, name, another }) => {
    const price = defineCall<string, number>(name('price'))
    const begun = new Arrivals<AbortSignal>()
    await (await another()).answer(price, (_sku, { signal }) => {
      begun.add(signal)
      return new Promise<number>((resolve) => signal.addEventListener('abort', () => resolve(0)))
    })
    const stop = new AbortController()
    const call = bus.call(price, 'abc', { signal: stop.signal })
    const [signal] = await begun.first(1)
    stop.abort(new Error('changed my mind'))
    await expect(call).rejects.toThrow('changed my mind')
    await new Promise<void>((resolve) => {
      if (signal?.aborted === true) resolve()
      else signal?.addEventListener('abort', () => resolve())
    })
    expect(signal?.reason).toMatchObject({ code: 'E_CANCELLED' })
  })

  test(
    'a request that nobody has begun with is taken back',
    async ({ bus, name }) => {
      const price = defineCall<string, number>(name('price'))
      const stop = new AbortController()
      const call = bus.call(price, 'abc', { signal: stop.signal })
      const queue = await bus.openQueue(price.name)
      while ((await queue.count()).ready === 0) await new Promise((resolve) => setImmediate(resolve))
      stop.abort()
      expect(await codeOf(call)).not.toBe('nothing')
      while ((await queue.count()).ready > 0) await new Promise((resolve) => setImmediate(resolve))
    },
    { needs: 'cancel' },
  )

  test('the deadline of a call holds for what its answerer calls', async ({ bus, name }) => {
    const [outer, inner] = [defineCall<null, string>(name('outer')), defineCall<null, string>(name('inner'))]
    const told = new Arrivals<{ deadline: number; ended: string }>()
    await bus.answer(outer, async (_nothing, context) => {
      // Nobody answers that one.
      const ended = await codeOf(context.call(inner, null, { timeout: '1h' }))
      told.add({ deadline: context.deadline?.getTime() ?? 0, ended })
      return 'late'
    })
    const beginMs = Date.now()
    expect(await codeOf(bus.call(outer, null, { timeout: 100 }))).toBe('E_TIMEOUT')
    const [first] = await told.first(1)
    // Given up by the signal of the outer call, or by the time that it had: whichever comes first.
    expect(['E_EXPIRED', 'E_TIMEOUT', 'E_CANCELLED']).toContain(first?.ended)
    expect(Math.abs((first?.deadline ?? 0) - beginMs - 100)).toBeLessThan(5_000)
  })

  test('answerers share the calls', async ({ bus, name, another }) => {
    const who = defineCall<null, string>(name('who'))
    const gate = new Gate()
    const answering = (me: string) => async () => {
      await gate.opened
      return me
    }
    await bus.answer(who, answering('one'), { concurrency: 1 })
    await (await another()).answer(who, answering('two'), { concurrency: 1 })
    const calls = [bus.call(who, null), bus.call(who, null)]
    gate.open()
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['one', 'two']))
  })

  test('a call whose answerer is gone is not tried again, and its caller is told', async ({ bus, name, another }) => {
    const pay = defineCall<number, string>(name('pay'))
    const begun = new Arrivals<string>()
    const first = await another()
    await first.answer(pay, () => {
      begun.add('first')
      return new Promise<string>(() => {})
    })
    const code = codeOf(bus.call(pay, 100))
    await begun.first(1)
    await first.close({ timeout: 0 })
    expect(await code).toBe('E_OUTCOME_UNKNOWN')
    await bus.answer(pay, () => {
      begun.add('second')
      return 'paid'
    })
    expect(begun.all).toEqual(['first'])
    // The next one finds an answerer as usual.
    expect(await bus.call(pay, 100)).toBe('paid')
  })

  test('a request that its answerer never began with goes to the next one', async ({ bus, name, another }) => {
    const pay = defineCall<number, string>(name('pay'))
    const gate = new Gate()
    const first = await another()
    const begun = new Arrivals<number>()
    const answerer = await first.answer(
      pay,
      async (amount) => {
        begun.add(amount)
        await gate.opened
        return 'first'
      },
      { concurrency: 1, prefetch: 2 },
    )
    const calls = [bus.call(pay, 1), bus.call(pay, 2)]
    await begun.first(1)
    const queue = await bus.openQueue(pay.name)
    while ((await queue.count()).ready > 0) await new Promise((resolve) => setImmediate(resolve))
    const closed = answerer.close()
    await bus.answer(pay, () => 'second')
    gate.open()
    await closed
    expect(await Promise.all(calls)).toEqual(['first', 'second'])
  })

  test('a call makes its queue anew if somebody has deleted it', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    const answerer = await bus.answer(price, (sku) => sku.length)
    expect(await bus.call(price, 'abc')).toBe(3)
    answerer.closed().catch(() => {})
    await (await bus.openQueue(price.name)).delete()
    const answer = bus.call(price, 'ab')
    await bus.answer(price, (sku) => sku.length)
    expect(await answer).toBe(2)
  })

  test('a durable call is tried again until it is answered', async ({ bus, name, another }) => {
    const pay = defineCall<number, string>(name('pay'))
    const attempts: number[] = []
    const first = await another()
    await first.answer(pay, () => new Promise<string>(() => {}))
    const call = bus.call(pay, 100, { durable: true })
    await new Promise((resolve) => setTimeout(resolve, 20))
    await first.close({ timeout: 0 })
    await bus.answer(
      pay,
      (_amount, { attempt }) => {
        attempts.push(attempt)
        if (attempt === 1) throw new Error('not yet')
        return 'paid'
      },
      { retry: { attempts: 3, min: 1, max: 5 }, onError() {} },
    )
    expect(await call).toBe('paid')
    expect(attempts).toEqual([1, 2])
  })

  test('a handler calls while it works', async ({ bus, name }) => {
    const price = defineCall<string, number>(name('price'))
    await bus.answer(price, (sku) => sku.length)
    const orders = await bus.createQueue<string, number>(name('orders'))
    orders.process(({ data }, context) => context.call(price, data))
    expect(await (await orders.send('abc', { receipt: true })).processed()).toBe(3)
  })

  test('what is wrong with a call is said at once', async ({ bus, name }) => {
    const price = defineCall(name('price'))
    expect(await codeOf(bus.call(price, 1, { timeuot: 1 } as never))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.call(price, 1, { sender: 'me' }))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.call(price, 1n))).toBe('E_BAD_DATA')
    expect(await codeOf(bus.call('', 1))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.answer(price, 5 as never))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.answer(price, () => 1, { concurrency: 0 }))).toBe('E_BAD_OPTION')
    expect(await codeOf(bus.call(price, 1, { signal: AbortSignal.abort(new Error('before')) }))).toBe('before')
  })
})
