// A worker of the ledger: what each attempt of a message is to do stands in the message.
import { setTimeout as sleep } from 'node:timers/promises'
import { args, say, sessions, workOptions } from './say.mjs'

let calls = 0

await sessions(async (bus, lost) => {
  const work = await bus.createQueue('work', workOptions)
  const ledger = await bus.createQueue('ledger')
  const worker = work.process((message, context) => handle(ledger, message, context), {
    concurrency: args.concurrency,
    onError() {},
  })
  await worker.ready()
  say({ type: 'ready' })
  await lost
})

async function handle(ledger, message, context) {
  const { index, key, number, steps } = message.data
  const { attempt } = context
  const step = steps[attempt - 1] ?? 'none'
  // No two calls have the same, so it says which of them an entry, an answer or a dead letter comes from.
  const token = `${process.pid}.${++calls}`
  await sleep(Math.random() * args.handlerMs)
  const isLast = step === 'process' || step === 'dead-letter'
  if (isLast || attempt === steps.length) say({ type: 'done', index })
  context.send(ledger, { index, key, number, attempt, token, messageId: message.id, step })
  if (step === 'retry') return context.retry({ after: '10ms' })
  if (step === 'throw') throw new Error(`message ${index} by ${token}`)
  if (step === 'dead-letter') return context.deadLetter(`message ${index} by ${token}`)
  return { index, token }
}
