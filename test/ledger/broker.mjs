// The broker of the ledger: it opens the folder, serves it, and does nothing else.
import { args, connect, say } from './say.mjs'

const bus = await connect(`file:${args.folder}`, { onError: (error) => say({ type: 'wrong', text: error.stack }) })
await bus.serve({ amqp: args.port })
say({ type: 'ready', notes: bus.notes })
process.on('SIGTERM', () => {
  bus.close().then(() => process.exit(0))
})
