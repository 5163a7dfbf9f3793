// The handler of the tests of threads: it does what the message says.
import { threadId } from 'node:worker_threads'

/** @param {{ data: any, id?: string, headers: object, redelivered: boolean, body: Buffer, failure: { error: string } | null }} message */
export default async function handle(message, context) {
  const { data } = message
  switch (data.do) {
    case 'tell':
      return {
        id: message.id,
        headers: message.headers,
        redelivered: message.redelivered,
        body: message.body.toString(),
        failure: message.failure?.error ?? null,
        attempt: context.attempt,
      }
    case 'thread':
      return threadId
    case 'burn': {
      const untilMs = performance.now() + data.ms
      while (performance.now() < untilMs);
      return threadId
    }
    case 'send':
      context.send({ name: data.to }, data.what, data.options)
      context.emit({ kind: 'event', name: 'thread.sent', input: undefined }, data.what)
      if (data.fails) throw new Error('after it had sent')
      return 'sent'
    case 'progress':
      for (const share of [0.25, 0.5, 1]) context.progress(share)
      return data.hangs ? new Promise(() => {}) : 'done'
    case 'retry':
      return context.attempt === 1 ? context.retry({ after: 10 }) : context.attempt
    case 'dead-letter':
      return context.deadLetter('nobody wants it')
    case 'throw':
      throw Object.assign(new RangeError('too far'), { code: 'E_FAR' })
    case 'exit':
      if (context.attempt === 1) process.exit(3)
      return context.attempt
    case 'throw later':
      if (context.attempt > 1) return context.attempt
      setTimeout(() => {
        throw new TypeError('nobody catches it')
      }, 1)
      return new Promise(() => {})
    case 'eat memory': {
      if (context.attempt > 1) return context.attempt
      const eaten = []
      for (;;) eaten.push(new Array(100_000).fill(Math.random()))
    }
    case 'extend':
      if (data.by !== undefined) context.extend(data.by)
      else context.extend()
      return 'extended'
    case 'wait for abort':
      return await new Promise((_resolve, reject) => {
        context.signal.addEventListener('abort', () => reject(/** @type {Error} */ (context.signal.reason)))
      })
    case 'see':
      return {
        deadline: context.deadline?.getTime() ?? null,
        children: context.children.map((one) => ({ ...one, error: one.error?.code ?? null })),
      }
    case 'call': {
      const controller = new AbortController()
      const signal = data.givesUp === true ? { signal: controller.signal } : {}
      const answer = context.call(data.contract ? contractOf(data.name) : data.name, data.data, {
        ...data.options,
        ...signal,
      })
      if (data.givesUp) controller.abort(new Error('not any more'))
      return await answer.catch((error) => ({ text: error.message, call: error.call, remote: error.remote }))
    }
    case 'hang':
      return context.attempt > 1 ? context.attempt : new Promise(() => {})
    case 'return a function':
      return () => {}
    default:
      return data
  }
}

/** A call whose data, result and one error have schemas. */
function contractOf(name) {
  const schema = (wrong, make) => ({
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => (wrong(value) ? { issues: [{ message: 'is wrong' }] } : { value: make(value) }),
    },
  })
  return {
    kind: 'call',
    name,
    input: schema((value) => typeof value !== 'string', String),
    result: schema(
      (value) => typeof value !== 'number',
      (value) => value * 2,
    ),
    errors: {
      soldOut: schema(
        () => false,
        ({ left }) => ({ left: `${left} left` }),
      ),
    },
  }
}
