// Emits, calls and sends families, one thing after the other and each once, and says what it is told.
import { setTimeout as sleep } from 'node:timers/promises'
import { args, say, sessions } from '../ledger/say.mjs'

const { child } = await import(args.library)
let next = args.first

await sessions(async (bus, lost) => {
  const leaf = await bus.openQueue('leaf')
  const parent = await bus.openQueue('parent')
  let isLost = false
  lost.then(() => {
    isLost = true
  })
  const tell = (job, promise) =>
    promise.then(
      (result) => say({ type: 'told', job, code: 'done', token: result?.token }),
      (error) => say({ type: 'told', job, code: error.code }),
    )
  const ways = {
    event: (job) => bus.emit(`thing.${job}`, job),
    durable: (job) => bus.call('ask', job, { durable: true, sender: 'caller' }),
    call: (job) => bus.call('ask', job, { timeout: '2s' }),
    family: (job) => parent.send(job, { children: [0, 1, 2].map((at) => child(leaf, `${job}.${at}`)) }),
  }
  const open = new Set()
  while (next < args.count && !isLost) {
    const index = next++
    const kind = Object.keys(ways)[index % 4]
    const job = `${kind}-${index}`
    say({ type: 'begun', index, job })
    const told = tell(job, ways[kind](job)).then(() => open.delete(told))
    open.add(told)
    await sleep(args.pauseMs)
  }
  await Promise.race([lost, Promise.all(open)])
  if (isLost) return
  say({ type: 'end' })
  await lost
})
