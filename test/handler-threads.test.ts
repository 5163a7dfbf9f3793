// Handlers in real threads, with the built package in a process of its own: what they do there, how they end, and that nothing
// is left of them.
import { describe, expect, it } from 'vitest'
import { NodeProgram } from './support/node-program.ts'
import { removeFolder, temporaryFolder } from './support/temporary-folder.ts'

const file = new URL('./support/thread-handlers/everything.mjs', import.meta.url).href

/** What a program says that has a queue, and `resultOf` for what the handler makes of an order. */
async function saidBy(body: string, url = 'memory:', nodeArguments: string[] = []): Promise<unknown> {
  const source = `
    const errors = []
    const bus = await leveret.connect(args.url, { onError: (error) => errors.push(error.code ?? error.name) })
    const retry = { attempts: 2, min: 1, jitter: false }
    const queue = await bus.createQueue('jobs', { retry })
    const file = new URL(args.file)
    const resultOf = async (order) => {
      const receipt = await queue.send(order, { receipt: true })
      return await receipt.processed({ timeout: '20s' }).catch((error) => error.message)
    }
    ${body}
  `
  await using program = new NodeProgram(source, { url, file }, nodeArguments)
  const said = await program.next()
  expect((await program.end()).code).toBe(0)
  return said
}

describe('handlers in threads of their own', () => {
  it.each(['memory:', 'file:'])(
    'see the message, send with its acknowledgement, and give a result: %s',
    async (kind) => {
      const folder = kind === 'file:' ? temporaryFolder('threads') : null
      const body = `
      const other = await bus.createQueue('other')
      const worker = queue.process(file, { threads: 2 })
      await worker.ready()
      const told = await resultOf({ do: 'tell' })
      const threads = await Promise.all([1, 2].map(() => resultOf({ do: 'burn', ms: 200 })))
      const sent = await resultOf({ do: 'send', to: 'other', what: 'a letter' })
      const failed = await resultOf({ do: 'send', to: 'other', what: 'another', fails: true })
      say([told.body, new Set(threads).size, threads.includes(0), sent, (await other.count()).ready])
      await bus.close()
    `
      const said = await saidBy(body, folder === null ? kind : kind + folder)
      expect(said).toEqual(['{"do":"tell"}', 2, false, 'sent', 1])
      if (folder !== null) removeFolder(folder)
    },
  )

  it('work over amqp:// as well', async () => {
    const body = `
      const served = await bus.serve({ amqp: 0 })
      const far = await leveret.connect(served.url)
      const other = await far.createQueue('other')
      const jobs = await far.createQueue('jobs', { retry })
      const worker = jobs.process(file, { threads: 1, lease: '10s' })
      say([
        await resultOf({ do: 'extend' }), await resultOf({ do: 'retry' }), await resultOf({ do: 'dead-letter' }),
        await resultOf({ do: 'send', to: 'other', what: 1 }), (await other.count()).ready,
      ])
      await far.close()
      await bus.close()
    `
    const said = await saidBy(body)
    expect(said).toEqual(['extended', 2, expect.stringContaining('nobody wants it'), 'sent', 1])
  })

  it.each([
    ['process.exit', 'exit', 2],
    ['an exception that nobody catches', 'throw later', 2],
    ['want of memory', 'eat memory', 2],
  ])('may end by %s: the message is tried again in another thread', async (_way, order, attempt) => {
    const body = `
      const worker = queue.process(file, { threads: 1 })
      say([await resultOf({ do: ${JSON.stringify(order)} }), errors, await resultOf({ do: 'thread' })])
      await bus.close()
    `
    const said = await saidBy(body, 'memory:', ['--max-old-space-size=48'])
    expect(said).toEqual([attempt, ['E_THREAD_LOST'], expect.any(Number)])
  })

  it('are stopped in the middle of a loop when their lease is over', async () => {
    const body = `
      const worker = queue.process(file, { threads: 1, lease: 1_500 })
      say([await resultOf({ do: 'burn', ms: 60_000 }), errors, await resultOf({ do: 'thread' })])
      await bus.close()
    `
    const said = await saidBy(body)
    expect(said).toEqual([
      expect.stringContaining('E_LEASE_LOST'),
      ['E_LEASE_LOST', 'E_LEASE_LOST'],
      expect.any(Number),
    ])
  })

  it('leave no thread behind that would keep the process', async () => {
    const closed = `
      const worker = queue.process(file, { threads: 4 })
      await queue.send({ do: 'hang' })
      await queue.send({ do: 'burn', ms: 60_000 })
      await worker.ready()
      await new Promise((resolve) => setTimeout(resolve, 100))
      await worker.close({ timeout: 100 })
      say((await queue.count()).ready)
      await bus.close()
    `
    expect(await saidBy(closed)).toBe(2)
    const early = `
      const worker = queue.process(file, { threads: 4 })
      await bus.close()
      say('closed')
    `
    expect(await saidBy(early)).toBe('closed')
    const unusable = `
      const worker = queue.process(new URL('./broken.mjs', file), { threads: 4 })
      say(await worker.ready().catch((error) => error.message))
      await bus.close()
    `
    expect(await saidBy(unusable)).toContain('broken from the start')
  })
})
