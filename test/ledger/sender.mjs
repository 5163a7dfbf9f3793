// The sender of the ledger: all messages in order, each again until it is known to be stored.
import { readFileSync } from 'node:fs'
import { args, expected, say, sessions, workOptions } from './say.mjs'

const messages = JSON.parse(readFileSync(args.plan, 'utf8'))
/** The first message that is not known to be stored. */
let first = args.first
let sends = 0

await sessions(async (bus, lost) => {
  const work = await bus.createQueue('work', workOptions)
  let isLost = false
  let wake = () => {}
  const end = () => {
    isLost = true
    wake()
  }
  void lost.then(end)
  let open = 0
  for (let next = first; next < messages.length && !isLost; next++) {
    while (open >= args.window && !isLost) {
      await new Promise((resolve) => {
        wake = resolve
      })
    }
    if (isLost) break
    open++
    send(work, messages[next], () => {
      open--
      wake()
    }).catch((error) => {
      if (!expected.has(error.code)) say({ type: 'wrong', text: error.stack })
      end()
    })
  }
  await lost
})

async function send(work, message, over) {
  const { index, key } = message
  const number = ++sends
  const sent = await work.send(message, {
    key,
    idempotencyKey: `message ${index}`,
    sender: 'ledger',
    onProcessed(error, result) {
      const code = error?.code
      say({ type: 'told', send: number, index, code, text: error?.message, result })
      over()
    },
  })
  say({ type: 'stored', send: number, index, id: sent.id, duplicate: sent.duplicate })
  // Confirms come in order, but for those of a session that has ended.
  if (index === first) first++
}
