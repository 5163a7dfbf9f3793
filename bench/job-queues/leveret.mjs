// Load process: Leveret's typed API on a folder, with its defaults.

import { pathToFileURL } from 'node:url'
import { runLoad } from './load.mjs'

runLoad(async ({ module, url, durability }) => {
  const { connect } = await import(pathToFileURL(module).href)
  const bus = await connect(url, { durability })
  const queue = await bus.createQueue('jobs')
  const barrier = await bus.createQueue('barrier')
  return {
    send: (job) => queue.send(job),
    async work(handler, concurrency) {
      const worker = queue.process((/** @type {any} */ message) => handler(message.data), { concurrency })
      await worker.ready()
      return {
        // Nobody is told when an acknowledgement is on disk. The log has one order, so it is when a later send is.
        async acknowledged() {
          await worker.close()
          await barrier.send({})
        },
        async close() {},
      }
    },
    close: () => bus.close(),
  }
})
