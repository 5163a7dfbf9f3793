// Load process: pg-boss, one instance with its default pool of 10 connections. Jobs are fetched and completed by the
// thousand (`batchSize`, the next batch at once while they come back full), and up to `concurrency` handlers of a batch run
// at a time. One at a time (`batchSize: 1`) a worker would take two jobs a second: the shortest polling interval is 0.5 s.
// For throughput LISTEN/NOTIFY is off, because each send pays for it; for latency it is on, because without it one would
// measure the polling interval.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { runLoad } from './load.mjs'

runLoad(async ({ module, url, measure }) => {
  const { PgBoss } = await import(pathToFileURL(createRequire(module).resolve('pg-boss')).href)
  const notify = measure === 'latency'
  const boss = new PgBoss({ connectionString: url, useListenNotify: notify })
  boss.on('error', (/** @type {Error} */ error) => process.stderr.write(`${error.message}\n`))
  await boss.start()
  await boss.createQueue('jobs', { notify })
  const options = { batchSize: 1000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
  return {
    send: (job) => boss.send('jobs', job),
    async work(handler, concurrency) {
      await boss.work('jobs', options, async (/** @type {{ data: import('./load.mjs').Job }[]} */ jobs) => {
        let next = 0
        async function lane() {
          while (next < jobs.length) {
            const job = jobs[next]
            next += 1
            if (job) await handler(job.data)
          }
        }
        await Promise.all(Array.from({ length: Math.min(concurrency, jobs.length) }, lane))
      })
      return {
        // Waits until the batch is completed, and with it its jobs.
        acknowledged: () => boss.offWork('jobs', { wait: true }),
        async close() {},
      }
    },
    close: () => boss.stop({ graceful: false }),
  }
})
