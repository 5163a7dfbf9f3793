// What SIGKILL cannot show, for it loses no page cache: the system calls of the real binary under load. Each confirm
// that leaves on a socket follows a completed fdatasync, which began after the write of the message it confirms.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { type ConfirmReport, checkConfirms, parseTrace } from '../support/system-calls.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

const connections = 2
const messages = 600

let folder: string

beforeEach(() => {
  folder = temporaryFolder('trace')
})

afterEach(() => removeFolder(folder))

const markerOf = (connection: number, message: number): string => `<${connection}/${message}>`

/** One after the other, so that a connection's place in the trace is its number; then both publish at once. */
async function publish(url: string): Promise<void> {
  const models = []
  for (let connection = 0; connection < connections; connection++) models.push(await connect(url))
  await Promise.all(
    models.map(async (model, connection) => {
      const channel = await model.createConfirmChannel()
      await channel.assertQueue('traced', { durable: true })
      for (let message = 1; message <= messages; message++) {
        const body = Buffer.from(`${markerOf(connection, message)}${'.'.repeat(message % 700)}`)
        channel.sendToQueue('traced', body, { persistent: true })
        // Small bursts, single messages and one large burst: different ways for a batch to come about.
        if (message <= 100 || (message <= 300 && message % 10 === 0)) await channel.waitForConfirms()
      }
      await channel.waitForConfirms()
    }),
  )
  for (const model of models) await model.close()
}

async function traced(nodeArgs: readonly string[] = []): Promise<ConfirmReport> {
  const file = join(folder, 'trace')
  const calls = 'trace=fdatasync,fsync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,io_uring_enter'
  // -D: strace watches from aside, so that the process we start and signal is the broker itself.
  const under = ['strace', '-D', '-f', '-qq', '-yy', '-s', '1000000', '-e', 'signal=none', '-e', calls, '-o', file]
  await using leveret = await LeveretProcess.start({ under, nodeArgs })
  await publish(leveret.url)
  expect(await leveret.stop(), leveret.stderr).toEqual({ code: 0, signal: null })
  // strace may write its last lines after the broker has ended.
  const read = (): ConfirmReport => checkConfirms(parseTrace(readFileSync(file, 'latin1')), markerOf)
  await expect.poll(() => read().confirmed, { timeout: 20_000, interval: 200 }).toBe(connections * messages)
  return read()
}

it('syncs each message before it confirms it', async () => {
  const report = await traced()
  console.log(
    `${report.confirmed} messages in ${report.batches} confirms, ${report.syncs} syncs of the log. One of them:\n` +
      report.excerpt.join('\n'),
  )
  expect(report.violations.slice(0, 10)).toEqual([])
})

it('would notice a broker that skips fdatasync', async () => {
  const skip = `import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    fs.fdatasync = (descriptor, callback) => setImmediate(callback, null)
    syncBuiltinESMExports()`
  const report = await traced(['--import', `data:text/javascript,${encodeURIComponent(skip)}`])
  expect(report.violations).toHaveLength(connections * messages)
  expect(report.violations[0]).toContain('not synced since its write')
})
