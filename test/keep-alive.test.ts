// What keeps a program alive that does nothing but wait: an open worker, and whoever waits for a message or an outcome.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const built = fileURLToPath(new URL('../dist/index.js', import.meta.url))

function run(body: string): { status: number | null; output: string } {
  const program = `
    import { connect } from ${JSON.stringify(built)}
    const bus = await connect('memory:', { onError() {} })
    const queue = await bus.createQueue('jobs', { retry: { attempts: 2, min: 50, jitter: false } })
    ${body}
  `
  const options = { encoding: 'utf8', timeout: 20_000 } as const
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], options)
  return { status, output: stdout }
}

it.each([
  [
    'an open worker',
    "queue.process(() => { console.log('done'); void bus.close() }); await queue.send(1, { delay: 100 })",
  ],
  [
    'a retry in its pause, and who waits for its outcome',
    `queue.process((m, c) => { if (c.attempt === 1) throw new Error('no'); return 'done' })
     console.log(await (await queue.send(1, { receipt: true })).processed()); await bus.close()`,
  ],
  [
    'who waits for an outcome alone',
    `const receipt = await queue.send(1, { receipt: true }); setTimeout(() => queue.process(() => 'done'), 100).unref()
     console.log(await receipt.processed()); await bus.close()`,
  ],
  [
    'who waits for a message',
    "await queue.send('done', { delay: 100 }); for await (const m of queue.receive()) { console.log(m.data); break } await bus.close()",
  ],
])('%s keeps the process', (_what, body) => {
  expect(run(body)).toEqual({ status: 0, output: 'done\n' })
})

it('nothing keeps it when all is closed, or nobody waits', () => {
  expect(run("queue.process(() => {}); await bus.close(); console.log('end')")).toEqual({ status: 0, output: 'end\n' })
  expect(run("await queue.send(1, { delay: '1h' }); console.log('end')")).toEqual({ status: 0, output: 'end\n' })
})
