// The failing paths of events, calls and families, for program.mjs.
import { child } from '../../dist/index.js'
import { createTestBroker } from '../../dist/testing/index.js'

const never = new Promise(() => {})
const closed = new Set(['E_CLOSED', 'E_CONNECTION_LOST'])

/** Each with what comes out of it. `tools`: what program.mjs has for all of its paths. */
export function patternPaths({ allOf, code, cuttable, file, gate, keep, memory, schema, sorted, turn }) {
  /** Listeners, answerers, callers, loops and families are there, and nobody waits for most of what they do. */
  async function talking(bus) {
    const begun = gate()
    await bus.on('something.#', () => Promise.reject(new Error('a listener')))
    await bus.once('something.else', () => {})
    await bus.on('something.*', () => never, { durable: 'slow' })
    await bus.answer('ask', () => (begun.open(), never))
    const leaf = await bus.createQueue('leaf')
    const parent = await bus.createQueue('parent')
    leaf.process(() => never)
    parent.process(() => {})
    await parent.send(0, { children: [child(leaf, 0)] })
    const events = bus.events('something.#')
    await events.ready()
    const first = bus.call('ask', 1)
    const open = [
      first,
      bus.call('ask', 2, { durable: true, sender: 'caller' }),
      bus.call('nobody', 3, { signal: new AbortController().signal }),
      bus.emit('something.happened', 4).then(() => events.next()),
      bus.events('something.*', { durable: 'slow' }).next(),
      parent.send(5, { children: [child(leaf, 6)] }),
      bus.on('late', () => {}),
      bus.answer('late', () => {}),
      new Promise((resolve) => bus.call('ask', 7, resolve)).then((error) => {
        throw error
      }),
    ].map(code)
    await begun.opened
    return {
      open,
      /** What is asked for when all is over. */
      late: () => [
        code(bus.call('ask', 8)),
        code(bus.call('fresh', 8)),
        code(bus.on('something.#', () => {})),
        code(bus.on('something.#', () => {}, { durable: 'later' })),
        code(bus.answer('ask', () => {})),
        code(bus.events('something').next()),
        code(bus.emit('something', 9)),
        code(parent.send(10, { children: [child(leaf, 11)] })),
        code(bus.unsubscribe('slow')),
        code(bus.off('something.#', () => {})),
      ],
    }
  }

  return {
    'the connection is cut while listeners, calls and families are open': async () => {
      const { bus, cut } = await cuttable()
      const { open, late } = await talking(bus)
      cut()
      return [await allOf(open, closed), await allOf(late(), closed)]
    },
    'the bus closes while listeners, calls and families are open, and an answerer never ends': async () => {
      const outcomes = []
      for (const bus of [await memory(), (await cuttable()).bus, await file()]) {
        const { open, late } = await talking(bus)
        await bus.close({ timeout: 5 })
        outcomes.push(await allOf(open, closed), await allOf(late(), closed))
      }
      return [...new Set(outcomes)]
    },
    'the power goes, or a client dies, while listeners, calls and families are open': async () => {
      const test = keep(await createTestBroker({ seed: 5 }))
      const outcomes = []
      for (const end of [(bus) => test.faults.crashClient(bus), () => test.crash()]) {
        const bus = await test.connect()
        const { open, late } = await talking(bus)
        await end(bus)
        outcomes.push(await allOf(open, closed), await allOf(late(), closed))
      }
      return [...new Set(outcomes)]
    },
    'a listener throws or rejects, whatever it throws': async () => {
      const errors = []
      const bus = await memory({ onError: (error) => errors.push(error.message) })
      const thrown = [new Error('an error'), undefined, null, 'text', Object.create(null)]
      for (const one of thrown) {
        await bus.on('a', () => {
          throw one
        })
        await bus.on('a', async () => {
          throw one
        })
        await bus.once('a', async () => {
          await turn()
          throw one
        })
      }
      let heard = 0
      await bus.on('a', () => heard++)
      await bus.emit('a', 1)
      for (let turns = 0; turns < 5; turns++) await turn()
      return [heard, errors.length]
    },
    'the schema of an event refuses, throws or rejects': async () => {
      const errors = []
      const bus = await memory({ onError: (error) => errors.push(error.code ?? error.message) })
      const refusing = (validate) => ({ kind: 'event', name: 'a', input: schema(validate), result: undefined })
      const contracts = [
        refusing(() => ({ issues: [{ message: 'no' }] })),
        refusing(async () => ({ issues: [{ message: 'no' }] })),
        refusing(() => {
          throw new Error('a bug in the schema')
        }),
        refusing(() => Promise.reject(new Error('a bug in the schema'))),
      ]
      const codes = []
      for (const contract of contracts) {
        await bus.on(contract, () => {})
        codes.push(await code(bus.emit(contract, 1)))
      }
      await bus.emit({ kind: 'event', name: 'a', input: undefined, result: undefined }, 1)
      for (let turns = 0; turns < 5; turns++) await turn()
      return [sorted(codes), sorted(errors)]
    },
    'a durable subscriber fails for good, and is forgotten while it listens': async () => {
      const bus = await memory()
      const retry = { attempts: 2, min: 1, max: 2 }
      const subscription = await bus.on('a', () => Promise.reject(new Error('always')), { durable: 'one', retry })
      await bus.emit('a', 1)
      const dead = await bus.createQueue('leveret.subscriber.one.dead')
      const { value } = await dead.receive().next()
      await bus.unsubscribe('one')
      return [value.data, await code(subscription.worker.closed()), await code(subscription.close())]
    },
    'a callback of a call throws': async () => {
      const errors = []
      const bus = await memory({ onError: (error) => errors.push(error.message) })
      await bus.answer('ask', (data) => {
        if (data > 1) throw new Error('an answerer')
        return data
      })
      const told = []
      for (const data of [1, 2]) {
        await new Promise((resolve) => {
          bus.call('ask', data, (error, result) => {
            told.push(error?.code ?? result)
            setImmediate(resolve)
            throw new Error('a callback')
          })
        })
      }
      return [told, errors.filter((one) => one === 'a callback').length]
    },
    'a call is given up before, while and after it is answered': async () => {
      const codes = []
      for (const bus of [await memory(), (await cuttable()).bus]) {
        const begun = gate()
        const answered = []
        await bus.answer('ask', async (data, context) => {
          begun.open()
          if (data === 'quick') return data
          await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
          answered.push(context.signal.reason.code)
          throw new Error('too late')
        })
        const why = new Error('changed my mind')
        codes.push(await code(bus.call('ask', 1, { signal: AbortSignal.abort(why) })))
        const controller = new AbortController()
        const open = code(bus.call('ask', 2, { signal: controller.signal }))
        const waiting = code(bus.call('nobody', 3, { signal: controller.signal }))
        await begun.opened
        controller.abort(why)
        codes.push(await open, await waiting)
        const late = new AbortController()
        codes.push(await code(bus.call('ask', 'quick', { signal: late.signal })))
        late.abort(why)
        codes.push(await code(bus.call('nobody', 4, { timeout: 5 })))
        while (answered.length === 0) await turn()
        codes.push(...answered)
      }
      return sorted(codes)
    },
    'children cannot be sent, or fail': async () => {
      const bus = await memory()
      const leaf = await bus.createQueue('leaf', { retry: { attempts: 1 } })
      const gone = await bus.createQueue('gone')
      const parent = await bus.createQueue('parent', { retry: { attempts: 1 } })
      await gone.delete()
      leaf.process(() => Promise.reject(new Error('always')))
      parent.process(() => {})
      const failing = await parent.send(1, { children: [child(leaf, 1)], receipt: true })
      return [
        await code(failing.processed()),
        await code(parent.send(1, { children: [child(gone, 1)] })),
        await code(parent.send(1, { children: [child(leaf, () => {})] })),
        await code(parent.send(1, { children: [{}] })),
        await code(parent.send(1, { children: [child(leaf, 1)], signal: AbortSignal.abort(new Error('given up')) })),
      ]
    },
  }
}
