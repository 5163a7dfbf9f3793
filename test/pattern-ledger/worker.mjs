// Works at everything: a durable subscriber of each name, an answerer, and a worker of both queues of families. Each handler leaves a
// mark with its commit; that of a call says so beforehand, too.
import { setTimeout as sleep } from 'node:timers/promises'
import { args, say, sessions } from '../ledger/say.mjs'

const retry = { attempts: 50, min: '5ms', max: '20ms' }
let runs = 0

await sessions(async (bus, lost) => {
  const marks = await bus.createQueue('marks')
  /** Fails now and then, and is done at some later attempt. */
  const work = async (job, context, result) => {
    const token = `${process.pid}.${++runs}`
    await sleep(Math.random() * args.handlerMs)
    context.send(marks, { job, token, result })
    if (Math.random() < 0.1) throw new Error('not yet')
    return { job, token }
  }
  const settings = { retry, concurrency: 10, onError() {} }
  for (const durable of args.subscribers) {
    const name = `>${durable}`
    await bus.on('thing.*', ({ data }, context) => work(data + name, context), { durable, ...settings })
  }
  const leaf = await bus.createQueue('leaf', { retry })
  const parent = await bus.createQueue('parent', { retry })
  leaf.process(({ data }, context) => work(data, context), { concurrency: 10, onError() {} })
  parent.process(
    ({ data }, context) =>
      work(
        data,
        context,
        context.children.map(({ result }) => result.job),
      ),
    { concurrency: 10, onError() {} },
  )
  await bus.answer('ask', (job, context) => (say({ type: 'run', job }), work(job, context)), settings)
  say({ type: 'ready' })
  await lost
})
