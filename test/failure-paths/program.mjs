// Goes down every path of the public API that fails, as a program does that handles what it was given and nothing else: what a
// send or a call rejects with is caught, and what nobody asked for (the end of a worker, a receipt) is not. Says of each path
// what came out, and which rejections nobody handled.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, defineQueue, hashPassword } from '../../dist/index.js'
import { createTestBroker } from '../../dist/testing/index.js'
import { patternPaths } from './patterns.mjs'

const unhandled = []
process.on('unhandledRejection', (error) => unhandled.push(String(error?.stack ?? error)))
process.on('uncaughtException', (error) => unhandled.push(`uncaught: ${error?.stack ?? error}`))

// A path that ends in nothing is told so by the test, not by the end of the process.
const alive = setInterval(() => {}, 1000)
const parent = mkdtempSync(join(tmpdir(), 'leveret-failures-'))
const never = new Promise(() => {})
const quick = { retry: { attempts: 2, min: 1, max: 2 } }
let folders = 0
let closers = []

/** A folder that is not there yet. */
const folder = () => join(parent, String(++folders))
/** Closes it after the path, whatever happened. */
const keep = (one) => {
  closers.push(() => one.close())
  return one
}
/** The code that it rejects with; what it resolves with in brackets. */
const code = (promise) =>
  promise.then(
    (value) => `(${String(value)})`,
    (error) => error.code ?? error.message,
  )
/** Each once. */
const sorted = (codes) => [...new Set(codes)].toSorted((a, b) => a.localeCompare(b, 'en'))
const turn = () => new Promise((resolve) => setImmediate(resolve))
const gate = () => {
  let open
  const opened = new Promise((resolve) => {
    open = resolve
  })
  return { open, opened }
}

const memory = async (options) => keep(await connect('memory:', options))
const file = async () => keep(await connect(`file:${folder()}`))

/** A served bus, and a way to it that can be cut. */
async function cuttable() {
  const host = keep(await connect(`file:${folder()}`))
  const { port } = await host.serve({ amqp: 0 })
  const sockets = new Set()
  const proxy = createServer((socket) => {
    const other = connectSocket(port, '127.0.0.1')
    for (const one of [socket, other]) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => (socket.destroy(), other.destroy()))
    }
    socket.pipe(other).pipe(socket)
  })
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  closers.push(() => (cut(), proxy.close()))
  const bus = keep(await connect(`amqp://127.0.0.1:${proxy.address().port}`))
  return { host, bus, cut }
}

/** Something of everything is under way on that bus, and nobody waits for most of it. */
async function busy(bus) {
  const queue = await bus.createQueue('busy', quick)
  const next = await bus.createQueue('next')
  const begun = gate()
  queue.process(
    async (_message, context) => {
      context.signal.addEventListener('abort', () => {})
      context.send(next, 1, { receipt: true })
      begun.open()
      await never
    },
    { concurrency: 2, prefetch: 2 },
  )
  next.processBatch(() => never, { size: 2, wait: 1 })
  bus.createQueue('more').then((more) => more.process(() => Promise.reject(new Error('always'))))
  await queue.send(1, { receipt: true, onProcessed() {} })
  await queue.send(2, { sender: 'busy' })
  await next.send(3)
  await begun.opened
  const idle = await bus.createQueue('idle')
  const messages = idle.receive()
  return {
    open: [
      queue.send(4),
      queue.send(5, { receipt: true }).then((receipt) => receipt.processed()),
      queue.sendMany([6, 7]),
      queue.count(),
      messages.next(),
      bus.receipts({ sender: 'busy' }).next(),
      bus.emit('something.happened', 1),
      bus.createQueue('late'),
      queue.stats(),
    ].map(code),
    /** What is asked for when all is over. */
    late: () => [
      code(queue.send(8)),
      code(queue.send(9, { receipt: true })),
      code(queue.purge()),
      code(queue.process(() => {}).ready()),
      code(messages.next()),
      code(bus.createQueue('later')),
      code(bus.receipts({ sender: 'busy' }).next()),
    ],
    queue,
  }
}

const schema = (validate) => ({ '~standard': { version: 1, vendor: 'test', validate } })
const closed = new Set(['E_CLOSED', 'E_CONNECTION_LOST'])
const allOf = async (codes, allowed) =>
  (await Promise.all(codes)).every((one) => allowed.has(one) || one.startsWith('('))
    ? 'as expected'
    : Promise.all(codes)

/** Each with what comes out of it. */
const paths = {
  'the connection is cut while everything is under way': async () => {
    const { bus, cut } = await cuttable()
    const { open, late } = await busy(bus)
    cut()
    return [await allOf(open, closed), await allOf(late(), closed)]
  },
  'the broker closes while everything is under way': async () => {
    const { host, bus } = await cuttable()
    const { open, late } = await busy(bus)
    await host.close({ timeout: 0 })
    return [await allOf(open, closed), await allOf(late(), closed)]
  },
  'the bus closes while everything is under way': async () => {
    const outcomes = []
    for (const bus of [await memory(), (await cuttable()).bus, keep(await connect(`file:${folder()}`))]) {
      const { open, late } = await busy(bus)
      const [one, other] = [bus.close({ timeout: 5 }), bus.close()]
      outcomes.push(await allOf(open, closed))
      await Promise.all([one, other])
      outcomes.push(await allOf(late(), closed))
    }
    return [...new Set(outcomes)]
  },
  'nobody listens': async () => [await code(connect('amqp://127.0.0.1:1'))],
  'whoever listens is no broker, or says nothing': async () => {
    const codes = []
    for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', null]) {
      const server = createServer((socket) => {
        socket.on('error', () => {})
        if (answer !== null) socket.end(answer)
      })
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
      closers.push(() => server.close())
      codes.push(await code(connect(`amqp://127.0.0.1:${server.address().port}?connection_timeout=50`)))
    }
    return codes
  },
  'the address, the password or an option is wrong': async () => {
    const { host } = await cuttable()
    const { port } = await host.serve({ amqp: 0 })
    return Promise.all(
      [
        connect('http://x'),
        connect('memory:', { highWater: 0 }),
        connect(`amqp://guest:wrong@127.0.0.1:${port}`),
        connect(`amqp://127.0.0.1:${port}/nowhere`),
        host.serve({ amqp: port }),
        host.createQueue('a', { retry: { attempts: -1 } }),
        host.openQueue('nowhere'),
      ].map(code),
    )
  },
  'the folder is in use, or is none': async () => {
    const path = folder()
    keep(await connect(`file:${path}`))
    const file = folder()
    writeFileSync(file, 'no folder')
    return [await code(connect(`file:${path}`)), (await code(connect(`file:${file}`))).length > 0]
  },
  'the disk is full, and the power goes': async () => {
    const test = keep(await createTestBroker())
    const bus = await test.connect()
    const queue = await bus.createQueue('work')
    queue.process(() => {})
    test.faults.diskFull()
    const controller = new AbortController()
    const open = [
      queue.send(1),
      queue.sendMany([2, 3]),
      queue.send(4, { receipt: true, signal: controller.signal }),
    ].map(code)
    queue.send(5, { receipt: true }).then(
      (receipt) => receipt.processed(),
      () => {},
    )
    await test.advance('1s')
    controller.abort(new Error('changed my mind'))
    await test.crash()
    return [await allOf(open, new Set(['E_CONNECTION_LOST', 'changed my mind'])), await code(queue.send(6))]
  },
  'the disk is full, and the bus closes': async () => {
    const test = await createTestBroker()
    const queue = await (await test.connect()).createQueue('work')
    test.faults.diskFull()
    const open = [queue.send(1), queue.send(2, { receipt: true })].map(code)
    await test.close()
    return [await allOf(open, closed)]
  },
  'the power goes while everything is under way': async () => {
    const test = keep(await createTestBroker({ seed: 3 }))
    const bus = await test.connect()
    const { open, late } = await busy(bus)
    await test.crash()
    const outcome = [await allOf(open, closed), await allOf(late(), closed)]
    await test.restart()
    const again = await (await test.connect()).openQueue('busy')
    return [...outcome, (await again.count()).ready >= 2]
  },
  'a client dies': async () => {
    const test = keep(await createTestBroker())
    const bus = await test.connect()
    const { open, late } = await busy(bus)
    await test.faults.crashClient(bus)
    return [await allOf(open, closed), await allOf(late(), closed)]
  },
  'sends fail, and acknowledgements get lost': async () => {
    const test = keep(await createTestBroker())
    const queue = await (await test.connect()).createQueue('work', quick)
    queue.process(() => 'done')
    test.faults.failSend({ share: 0.5 })
    test.faults.duplicate({ share: 0.5 })
    const codes = Array.from({ length: 40 }, () => code(queue.send(1, { receipt: true, onProcessed() {} })))
    await test.advance('1m')
    return [await allOf(codes, new Set(['E_REFUSED']))]
  },
  'a handler throws, whatever it throws': async () => {
    const errors = []
    const bus = await memory({ onError: (error) => errors.push(error) })
    const queue = await bus.createQueue('work', { retry: { attempts: 1 } })
    const thrown = [new Error('an error'), undefined, null, 'text', 7, { code: 'own' }, Object.create(null)]
    const throwing = (at) => {
      throw thrown[at % thrown.length]
    }
    const throwingLater = async (at) => {
      await turn()
      throwing(at)
    }
    queue.process(({ data }) => (data < thrown.length ? throwing(data) : throwingLater(data)))
    const codes = []
    for (let at = 0; at < thrown.length * 2; at++)
      codes.push(await code((await queue.send(at, { receipt: true })).processed()))
    return [...new Set(codes), errors.length]
  },
  'whoever hears errors throws': async () => {
    const fail = () => {
      throw new Error('my own mistake')
    }
    const bus = await memory({ onError: fail })
    const queue = await bus.createQueue('work', quick)
    queue.process(() => Promise.reject(new Error('always')), { onError: fail })
    return [await code((await queue.send(1, { receipt: true })).processed())]
  },
  'a callback throws, at once or later': async () => {
    const errors = []
    const bus = await memory({ onError: (error) => errors.push(error.message) })
    const queue = await bus.createQueue('work', quick)
    queue.process((_message, context) => context.progress(0.5))
    const fail = () => {
      throw new Error('at once')
    }
    const later = async () => {
      await turn()
      throw new Error('later')
    }
    for (const callback of [fail, later]) {
      const all = { onDelivered: callback, onProgress: callback, onProcessed: callback }
      for (const options of [all, { ...all, sender: 'me' }]) await (await queue.send(1, options)).processed()
    }
    for (let turns = 0; turns < 5; turns++) await turn()
    return [errors.length >= 8, [...new Set(errors)]]
  },
  'a schema refuses, throws or rejects, on either side': async () => {
    const bus = await memory()
    const refusals = [
      () => ({ issues: [{ message: 'no' }] }),
      () => Promise.resolve({ issues: [{ message: 'no' }] }),
      () => {
        throw new Error('a bug in the schema')
      },
      () => Promise.reject(new Error('a bug in the schema')),
    ]
    const codes = []
    for (const [at, refuse] of refusals.entries()) {
      const input = await bus.createQueue(defineQueue(`input ${at}`, { input: schema(refuse) }), quick)
      codes.push(await code(input.send(1)), await code(input.sendMany([1])))
      const plain = await bus.createQueue(`input ${at}`, quick)
      input.process(() => {})
      codes.push(await code((await plain.send(1, { receipt: true })).processed()))
      const result = await bus.createQueue(defineQueue(`result ${at}`, { result: schema(refuse) }), quick)
      result.process(() => 1)
      codes.push(await code((await result.send(1, { receipt: true })).processed()))
      // Only the sender has a schema.
      const answered = await bus.createQueue(`answered ${at}`, quick)
      answered.process(() => 1)
      const asking = await bus.createQueue(defineQueue(`answered ${at}`, { result: schema(refuse) }), quick)
      await asking.send(1, { receipt: true, onProcessed() {} })
      codes.push(await code((await asking.send(1, { receipt: true })).processed()))
    }
    return sorted(codes)
  },
  'a result is no data': async () => {
    const queue = await (await memory()).createQueue('work', quick)
    queue.process(() => 1n)
    return [await code((await queue.send(1, { receipt: true })).processed())]
  },
  'a handler fails after its lease, its deadline or its worker': async () => {
    const bus = await memory()
    const queue = await bus.createQueue('work', quick)
    const late = gate()
    const ends = []
    const worker = queue.process(
      async (_message, context) => {
        ends.push(code(late.opened.then(() => Promise.reject(new Error('too late')))))
        await late.opened
        context.progress(1)
        throw new Error('too late')
      },
      { lease: '5ms', concurrency: 4 },
    )
    const receipts = [await queue.send(1, { receipt: true }), await queue.send(2, { receipt: true, deadline: '3ms' })]
    const codes = await Promise.all(receipts.map((receipt) => code(receipt.processed())))
    await queue.send(3)
    await worker.close({ timeout: 1 })
    late.open()
    await Promise.all(ends)
    return codes
  },
  'what a handler sends cannot be sent': async () => {
    const bus = await memory()
    const queue = await bus.createQueue('work', { retry: { attempts: 1 } })
    const slow = await bus.createQueue(defineQueue('slow', { input: schema(async (value) => ({ value })) }))
    const gone = await bus.createQueue('gone')
    await gone.delete()
    const sends = [
      (context) => context.send(slow, 1),
      (context) => context.send(defineQueue('unknown'), 1),
      (context) => context.send(gone, () => {}),
      (context) => context.send(gone, 1, { receipt: true }).processed(),
    ]
    queue.process(({ data }, context) => sends[data](context))
    const codes = []
    for (const at of sends.keys()) codes.push(await code((await queue.send(at, { receipt: true })).processed()))
    return codes
  },
  'a queue is deleted under whoever uses it': async () => {
    const codes = []
    for (const bus of [await memory(), (await cuttable()).bus]) {
      const queue = await bus.createQueue('work', quick)
      const begun = gate()
      queue.process(
        async () => {
          begun.open()
          await turn()
          throw new Error('always')
        },
        { concurrency: 2 },
      )
      queue.processBatch(() => {}, { wait: 1000 })
      const receipts = [await queue.send(1, { receipt: true }), await queue.send(2, { receipt: true })]
      const messages = queue.receive()
      const next = code(messages.next())
      await begun.opened
      await queue.delete()
      for (const receipt of receipts) receipt.processed({ timeout: 20 }).catch(() => {})
      codes.push(await code(queue.send(3)), await code(queue.process(() => {}).closed()), await next)
      queue.process(() => {})
      queue.receive().return()
    }
    return sorted(codes)
  },
  'an inbox belongs to somebody else': async () => {
    const { host, bus } = await cuttable()
    await (await host.createQueue('work')).send(1, { sender: 'one' })
    const queue = await bus.createQueue('work')
    return [
      await code(queue.send(1, { sender: 'one', onProcessed() {} })),
      await code(bus.receipts({ sender: 'one' }).next()),
    ]
  },
  'the dead-letter queue cannot be made': async () => {
    const host = await memory()
    const rights = { configure: '^(work|amq.gen.*)$', write: '.*', read: '.*' }
    const user = { type: 'leveret.put-user', user: 'worker', hashing: 'scrypt', tags: [] }
    await host.administer({ ...user, passwordHash: await hashPassword('secret') })
    await host.administer({ type: 'leveret.put-permission', user: 'worker', virtualHost: '/', ...rights })
    const { port } = await host.serve({ amqp: 0 })
    const told = gate()
    const url = `amqp://worker:secret@127.0.0.1:${port}`
    const bus = keep(await connect(url, { onError: (error) => error.code === 'E_REFUSED' && told.open(error.code) }))
    const queue = await bus.createQueue('work', { retry: { attempts: 1 } })
    queue.process((_message, context) => context.deadLetter('no good'))
    await queue.send(1, { receipt: true })
    const refused = await told.opened
    await bus.close()
    // It is tried again later, and not lost.
    return [refused, (await (await host.openQueue('work')).count()).ready]
  },
  'a send is given up by its signal': async () => {
    const test = keep(await createTestBroker())
    const queue = await (await test.connect({ highWater: 1 })).createQueue('work')
    test.faults.syncDelay('1s')
    const controller = new AbortController()
    const codes = [1, 2, 3].map((number) => code(queue.send(number, { signal: controller.signal })))
    const many = code(queue.sendMany([4, 5], { signal: controller.signal }))
    controller.abort(new Error('changed my mind'))
    await test.advance('10s')
    return [await allOf([...codes, many], new Set(['changed my mind']))]
  },
  'a receipt is forgotten, or waited for too shortly': async () => {
    const queue = await (await memory()).createQueue('work')
    const receipt = await queue.send(1, { receipt: true })
    const codes = [await code(receipt.processed({ timeout: 1 })), await code(receipt.delivered({ timeout: 1 }))]
    const waiting = code(receipt.processed())
    receipt.forget()
    return [...codes, await waiting, await code(receipt.processed())]
  },
  'an iterator is left while it waits': async () => {
    const { bus } = await cuttable()
    const queue = await bus.createQueue('work')
    const messages = queue.receive()
    const next = code(messages.next().then(({ done }) => done))
    await messages.return()
    const controller = new AbortController()
    const inbox = code(
      bus
        .receipts({ sender: 'me', signal: controller.signal })
        .next()
        .then(({ done }) => done),
    )
    await turn()
    controller.abort()
    return [await next, await inbox]
  },
  ...patternPaths({ allOf, code, cuttable, file, gate, keep, memory, schema, sorted, turn }),
  // So that the watch is known to see: nobody handles this one.
  'the program makes a mistake': async () => {
    void Promise.reject(new Error('nobody handles this'))
    return []
  },
}

for (const [path, run] of Object.entries(paths)) {
  let outcome
  try {
    outcome = await run()
    for (const close of closers.reverse()) await close()
  } catch (error) {
    outcome = `threw ${error.stack}`
  }
  closers = []
  // What is rejected in the end of something has its turn, too.
  for (let turns = 0; turns < 5; turns++) await turn()
  process.stdout.write(`${JSON.stringify({ path, outcome, unhandled: unhandled.splice(0) })}\n`)
}
rmSync(parent, { recursive: true, force: true })
clearInterval(alive)
