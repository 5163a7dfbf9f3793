// The command-line clients of librabbitmq, written in C: against Leveret, and against RabbitMQ to see that what we expect
// is what they expect.
import { type ChildProcess, spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Tool {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  /** Resolves when it has written this to standard error. */
  saying(text: string): Promise<void>
}

function start(command: string, url: string, args: readonly string[], input = ''): Tool {
  const child = spawn(command, ['--url', url, ...args], { stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  let heard = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    heard()
  })
  // Some of the tools end without reading what they are given.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const saying = async (text: string): Promise<void> => {
    while (!stderr.includes(text)) {
      await new Promise<void>((resolve) => {
        heard = resolve
      })
    }
  }
  return { child, ended, saying }
}

let leveret: LeveretProcess
let rabbitmq: Awaited<ReturnType<typeof startRabbitmq>>

beforeAll(async () => {
  leveret = await LeveretProcess.start()
  rabbitmq = await startRabbitmq()
})

afterAll(async () => {
  await leveret?.dispose()
  await rabbitmq?.stop()
})

describe.each(['Leveret', 'RabbitMQ'] as const)('amqp-tools and %s', (name) => {
  const url = (): string => (name === 'Leveret' ? leveret.url : rabbitmq.url)
  const run = (command: string, args: readonly string[], input = ''): Promise<Outcome> =>
    start(command, url(), args, input).ended

  it('declare a queue, publish to it, get from it, delete it', async () => {
    expect(await run('amqp-declare-queue', ['--queue', 'work', '--durable'])).toEqual({
      code: 0,
      stdout: 'work\n',
      stderr: '',
    })
    const publish = ['--routing-key', 'work', '--persistent', '--content-type', 'text/plain', '--header', 'colour: red']
    expect(await run('amqp-publish', [...publish, '--body', 'one'])).toMatchObject({ code: 0 })
    expect(await run('amqp-publish', publish, 'two, from standard input')).toMatchObject({ code: 0 })
    expect(await run('amqp-get', ['--queue', 'work'])).toMatchObject({ code: 0, stdout: 'one' })
    expect(await run('amqp-get', ['--queue', 'work'])).toMatchObject({ code: 0, stdout: 'two, from standard input' })
    // 2 says that it was empty.
    expect(await run('amqp-get', ['--queue', 'work'])).toMatchObject({ code: 2, stdout: '' })
    await run('amqp-publish', [...publish, '--body', 'three'])
    expect(await run('amqp-delete-queue', ['--queue', 'work'])).toMatchObject({ code: 0, stdout: '1\n' })
  })

  it('publish a message per line and consume them one by one', async () => {
    await run('amqp-declare-queue', ['--queue', 'lines', '--durable'])
    const lines = Array.from({ length: 200 }, (_, index) => `line ${index}\n`).join('')
    expect(await run('amqp-publish', ['--routing-key', 'lines', '--line-buffered'], lines)).toMatchObject({ code: 0 })
    const consume = ['--queue', 'lines', '--count', '200', '--prefetch-count', '10', 'cat']
    const consumed = await run('amqp-consume', consume)
    expect(consumed.code, consumed.stderr).toBe(0)
    expect(consumed.stdout.replaceAll('\n', '')).toBe(lines.replaceAll('\n', ''))
    expect(await run('amqp-delete-queue', ['--queue', 'lines'])).toMatchObject({ stdout: '0\n' })
  })

  it('consume from an exclusive queue of its own, bound to an exchange', async () => {
    const consume = ['--exchange', 'amq.topic', '--routing-key', 'news.#', '--exclusive', '--count', '2', 'cat']
    const consumer = start('amqp-consume', url(), consume)
    // The queue's name is told before it is bound, so the first messages may be too early for it.
    await consumer.saying('amq.gen-')
    const publish = async (): Promise<void> => {
      let hasEnded = false
      void consumer.ended.then(() => {
        hasEnded = true
      })
      while (!hasEnded) {
        await run('amqp-publish', ['--exchange', 'amq.topic', '--routing-key', 'news.today', '--body', 'hear, '])
      }
    }
    await publish()
    expect(await consumer.ended).toMatchObject({ code: 0, stdout: 'hear, hear, ' })
  })

  it('say what the broker said when something is wrong', async () => {
    const missing = await run('amqp-get', ['--queue', 'nowhere'])
    expect(missing.code).not.toBe(0)
    expect(missing.stderr).toContain("404, message: NOT_FOUND - no queue 'nowhere' in vhost '/'")
    const reserved = await run('amqp-declare-queue', ['--queue', 'amq.mine'])
    expect(reserved.stderr).toContain("403, message: ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix")
    const login = start('amqp-get', url().replace('guest:guest', 'guest:wrong'), ['--queue', 'q'])
    expect((await login.ended).code).not.toBe(0)
  })
})
