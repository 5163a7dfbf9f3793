// Load process: BullMQ, one Queue and one Worker, with what its documentation says about throughput: `concurrency`, and
// jobs removed when they are completed. ioredis' automatic pipelining is off: with it BullMQ is a third slower here.

import { createRequire } from 'node:module'
import { runLoad } from './load.mjs'

runLoad(async ({ module, url }) => {
  const { Queue, Worker } = createRequire(module)('bullmq')
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port) }
  const defaultJobOptions = { removeOnComplete: true, removeOnFail: true }
  const queue = new Queue('jobs', { connection, defaultJobOptions })
  await queue.waitUntilReady()
  return {
    send: (job) => queue.add('job', job),
    async work(handler, concurrency) {
      let completed = 0
      /** @type {() => void} */
      let oneMore = () => {}
      const worker = new Worker('jobs', (/** @type {any} */ job) => handler(job.data), { connection, concurrency })
      // Told when Redis has answered the script that removes the job.
      worker.on('completed', () => {
        completed += 1
        oneMore()
      })
      worker.on('error', (/** @type {Error} */ error) => process.stderr.write(`${error.message}\n`))
      await worker.waitUntilReady()
      return {
        async acknowledged(count) {
          while (completed < count) {
            await new Promise((resolve) => {
              oneMore = () => resolve(undefined)
            })
          }
        },
        close: () => worker.close(),
      }
    },
    close: () => queue.close(),
  }
})
