// The command itself, as a process: what it prints, how it ends, what it leaves behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect as connectTo, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { commandLine, LeveretProcess } from '../../test/support/leveret-process.ts'
import { freePort } from '../../test/support/port.ts'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import { type Bus, connect } from '../index.ts'

let folder: string
const children: ChildProcess[] = []

beforeAll(() => {
  folder = temporaryFolder('cli')
})

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

afterAll(() => removeFolder(folder))

function file(name: string, text: string | Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function data(name: string): string {
  return join(folder, name)
}

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>
  /** Resolves when standard output or standard error holds the text. */
  says(text: string): Promise<void>
  /** What it has printed so far. */
  text(): string
}

function start(...args: string[]): Running {
  const child = spawn(process.execPath, [commandLine, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  children.push(child)
  let stdout = ''
  let stderr = ''
  let heard = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    heard()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    heard()
  })
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const says = async (text: string): Promise<void> => {
    while (!stdout.includes(text) && !stderr.includes(text)) await new Promise<void>((resolve) => (heard = resolve))
  }
  return { child, ended, says, text: () => stdout }
}

/** A way to the broker on which it calls itself something else. */
async function stranger(port: number): Promise<{ url: string; close(): void }> {
  const server = createServer((socket) => {
    const broker = connectTo(port, '127.0.0.1')
    broker.on('data', (chunk) => socket.write(chunk.toString('latin1').replaceAll('Leveret', 'Rabbits'), 'latin1'))
    socket.pipe(broker)
    for (const one of [socket, broker]) one.on('error', () => one.destroy()).on('close', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `amqp://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

const lines = (count: number): string => Array.from({ length: count }, (_, at) => `line ${at}\n`).join('')

describe('leveret', () => {
  it('helps', async () => {
    for (const args of [[], ['--help'], ['serve', '--help'], ['send', '--help'], ['receive', '-h'], ['queues', '-h']]) {
      const { code, stdout, stderr } = await runLeveret(args)
      expect({ code, stderr }, args.join(' ')).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('Usage: leveret')
      if (args.length === 2) expect(stdout).toContain('--json')
    }
  })

  it('says in one line what it does not understand, and ends with status 2', async () => {
    for (const [args, word] of [
      [['sned'], "unknown command 'sned'"],
      [['send'], "missing required argument 'queue'"],
      [['serve', '--port', '1'], "unknown option '--port'"],
      [['serve', '--memory', '--data', 'x'], "'--data <folder>' cannot be used with option '--memory'"],
      [['serve', '--amqp-port', 'http'], "--amqp-port is 'http'"],
      [['serve', '--durability', 'disk'], "--durability is 'disk', and has to be one of fsync, write, none"],
      [['serve', '--deliver-after', 'fsync'], "--deliver-after is 'fsync', and has to be one of accept, sync"],
      [['serve', '--memory', '--durability', 'write'], "'--durability <level>' cannot be used with option '--memory'"],
      [['receive', 'x', '--count', '0'], "--count is '0'"],
      [['receive', 'x', '--idle', 'soon'], "--idle is 'soon'"],
      [['receive', 'amq.x', '--from', data('empty')], "begins with 'amq.'"],
    ] as const) {
      const { code, stdout, stderr } = await runLeveret(args)
      expect({ code, stdout }, args.join(' ')).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^leveret: E_BAD_OPTION: [^\n]+\n$/)
      expect(stderr).toContain(word)
    }
  })

  it('says what else went wrong with status 1, as JSON if told to, with a stack trace only if told to', async () => {
    const args = ['queues', 'x', '--at', 'amqp://127.0.0.1:1']
    const plain = await runLeveret(args)
    expect(plain).toMatchObject({ code: 1, stdout: '' })
    expect(plain.stderr).toMatch(/^leveret: E_CONNECT_FAILED: cannot connect to 127\.0\.0\.1:1: [^\n]+\n$/)
    const json = await runLeveret([...args, '--json'])
    expect(JSON.parse(json.stderr)).toMatchObject({ error: 'E_CONNECT_FAILED' })
    const debug = await runLeveret([...args, '--debug'])
    expect(debug.stderr).toContain('\n    at ')
    expect((await runLeveret(['send', 'x', '--to', 'redis://x'])).stderr).toMatch(/^leveret: E_BAD_URL: /)
    expect((await runLeveret(['receive', 'x', '--from', 'memory:'])).stderr).toContain(
      'would be gone with this command',
    )
  })
})

describe('on a folder', () => {
  it('sends each line, whatever its bytes, and gives them back in order', async () => {
    const bytes = Buffer.concat([
      Buffer.from(lines(5_000)),
      Buffer.from('\n\r\n\0\xff\n last, without line feed', 'latin1'),
    ])
    const at = data('bytes')
    const sent = await runLeveret(['send', 'lines', '--to', at], { input: file('bytes.txt', bytes) })
    expect(sent).toEqual({ code: 0, stderr: '', stdout: '5004 messages stored in lines\n' })
    const listed = await runLeveret(['queues', '--at', at, '--json'])
    expect(JSON.parse(listed.stdout)).toMatchObject({ name: 'lines', ready: 5_004, unacked: 0, consumers: 0 })
    const output = data('bytes.out')
    expect(await runLeveret(['receive', 'lines', '--from', at, '--count', '10'], { output })).toMatchObject({ code: 0 })
    const first = readFileSync(output)
    expect(await runLeveret(['receive', 'lines', '--from', `file:${at}`], { output })).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(Buffer.concat([first, readFileSync(output)])).toEqual(Buffer.concat([bytes, Buffer.from('\n')]))
    const empty = await runLeveret(['queues', '--at', at])
    expect(empty.stdout).toBe(
      'queue  ready  bytes  delayed  unacked  consumers  durability  deliver-after\n' +
        'lines      0      0        0        0          0           -              -\n',
    )
  })

  it('begins behind the lines that are to be skipped', async () => {
    const input = file('skip.txt', lines(10))
    const sent = await runLeveret(['send', 'skip', '--to', data('skip'), '--skip', '7', '--json'], { input })
    expect(JSON.parse(sent.stdout)).toEqual({ queue: 'skip', at: data('skip'), stored: 3, skipped: 7 })
    const received = await runLeveret(['receive', 'skip', '--from', data('skip')])
    expect(received.stdout).toBe('line 7\nline 8\nline 9\n')
  })

  it('prints messages as JSON', async () => {
    const bus = await connect(`file:${data('json')}`)
    const { id } = await (await bus.createQueue('json')).send({ a: 1 }, { headers: { tenant: 't' } })
    await bus.close()
    const { stdout } = await runLeveret(['receive', 'json', '--from', data('json'), '--json'])
    expect(JSON.parse(stdout)).toEqual({
      id,
      redelivered: false,
      contentType: 'application/json',
      headers: { tenant: 't' },
      data: { a: 1 },
    })
  })

  it('lists, runs, pauses and removes schedules', async () => {
    const at = data('schedules')
    const bus = await connect(`file:${at}`)
    const queue = await bus.createQueue('reports')
    await bus.schedule('yearly', '0 0 1 1 *', queue, 'report', { timezone: 'Asia/Shanghai' })
    await bus.schedule('hourly', { every: '1h' }, queue, 1)
    await bus.close()
    const schedules = async (...args: string[]): Promise<string> => {
      const { stdout, stderr } = await runLeveret(['schedules', ...args, '--at', at])
      return stdout + stderr
    }
    const listed = await schedules()
    expect(listed).toMatch(/^schedule +when +target +next +last +runs +failures +missed +state\n/)
    expect(listed).toMatch(/hourly +every 3600000 ms +queue reports +20\S+Z +- +0 +0 +0\n/)
    expect(listed).toMatch(
      /yearly +0 0 1 1 \* Asia\/Shanghai +queue reports +20\d\d-12-31T16:00:00.000Z +- +0 +0 +0\n$/,
    )
    expect(await schedules('run', 'yearly')).toMatch(/yearly .* 20\S+Z +20\S+Z +1 +0 +0\n$/)
    expect(await schedules('pause', 'yearly')).toMatch(/ - +20\S+Z +1 +0 +0 +paused\n$/)
    expect(JSON.parse(await schedules('list', 'yearly', '--json'))).toMatchObject({ paused: true, runs: 1 })
    expect(await schedules('remove', 'yearly')).toContain('removed')
    expect(await schedules('resume', 'yearly')).toBe("leveret: NOT_FOUND: no schedule 'yearly'\n")
    expect(await schedules('remove')).toMatch(/^leveret: E_BAD_OPTION: schedules remove wants the name/)
    expect(await schedules('stop', 'hourly')).toMatch(/^leveret: E_BAD_OPTION: .*Allowed choices are list, pause/)
    expect((await runLeveret(['receive', 'reports', '--from', at])).stdout).toBe('"report"\n')
  })

  it('names the queues that are not there', async () => {
    const { stderr } = await runLeveret(['queues', 'nope', '--at', data('json')])
    expect(stderr).toBe("leveret: E_BAD_OPTION: there is no queue 'nope' in the folder\n")
  })
})

describe('on a served broker', () => {
  let leveret: LeveretProcess

  beforeAll(async () => {
    leveret = await LeveretProcess.start()
  })

  afterAll(() => leveret.dispose())

  it('sends, lists and receives', async () => {
    const text = lines(20_000)
    const input = file('served.txt', text)
    const sent = await runLeveret(['send', 'served', '--to', leveret.url, '--window', '100'], { input })
    expect(sent).toMatchObject({ code: 0, stdout: '20000 messages stored in served\n' })
    const listed = await runLeveret(['queues', 'served', '--at', leveret.url])
    const bytes = text.length - 20_000
    expect(listed.stdout).toBe(
      'queue   ready   bytes  delayed  unacked  consumers  durability  deliver-after\n' +
        `served  20000  ${bytes}        0        0          0       fsync         accept\n`,
    )
    const received = await runLeveret(['receive', 'served', '--from', leveret.url, '--count', '20000'])
    expect(received).toEqual({ code: 0, stderr: '', stdout: text })
  })

  it('lists all queues if none is named, and names the one that is not there', async () => {
    await runLeveret(['send', 'listed', '--to', leveret.url], { input: file('listed.txt', lines(3)) })
    const unnamed = await runLeveret(['queues', '--at', leveret.url, '--json'])
    expect(unnamed).toMatchObject({ code: 0, stderr: '' })
    const rows = unnamed.stdout.split('\n').filter((line) => line !== '')
    expect(rows).toContain(
      '{"name":"listed","ready":3,"readyBytes":18,"delayed":0,"unacked":0,"consumers":0,"paused":false,"durability":"fsync","deliverAfter":"accept"}',
    )
    // Not the queue that the answer came to.
    expect(rows.filter((row) => row.includes('amq.gen'))).toEqual([])
    const missing = await runLeveret(['queues', 'nope', '--at', leveret.url])
    expect(missing.stderr).toBe("leveret: NOT_FOUND: no queue 'nope' in vhost '/'\n")
  })

  it('asks for names where the broker is no Leveret, and tells what every broker tells', async () => {
    await runLeveret(['send', 'counted', '--to', leveret.url], { input: file('counted.txt', lines(3)) })
    const relay = await stranger(leveret.port)
    const unnamed = await runLeveret(['queues', '--at', relay.url])
    expect(unnamed.code).toBe(1)
    expect(unnamed.stderr).toMatch(
      /^leveret: E_UNSUPPORTED: .+ they have to be named: leveret queues orders invoices\n$/,
    )
    const named = await runLeveret(['queues', 'counted', '--at', relay.url])
    expect(named.stdout).toBe(
      'queue    ready  bytes  delayed  unacked  consumers  durability  deliver-after\n' +
        'counted      3      -        -        -          0           -              -\n',
    )
    relay.close()
  })

  it('tells who has a folder that is in use', async () => {
    const { code, stderr } = await runLeveret(['queues', '--at', leveret.folder])
    expect(code).toBe(1)
    expect(stderr).toContain('E_FOLDER_IN_USE')
    expect(stderr).toContain(String(leveret.pid))
    expect(stderr).toContain(`127.0.0.1:${leveret.port}`)
  })

  it('waits for messages until it is interrupted, and gives back what it did not print', async () => {
    const receiving = start('receive', 'waiting', '--from', leveret.url)
    const input = file('waiting.txt', 'a\nb\n')
    await runLeveret(['send', 'waiting', '--to', leveret.url], { input })
    await receiving.says('b\n')
    receiving.child.kill('SIGINT')
    expect(await receiving.ended).toEqual({ code: 0, stderr: '', stdout: 'a\nb\n' })
    const { stdout } = await runLeveret(['queues', 'waiting', '--at', leveret.url, '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ ready: 0, consumers: 0 })
  })

  it('stops when nothing has come for a while', async () => {
    const input = file('idle.txt', 'a\n')
    await runLeveret(['send', 'idle', '--to', leveret.url], { input })
    const received = await runLeveret(['receive', 'idle', '--from', leveret.url, '--idle', '100ms'])
    expect(received).toEqual({ code: 0, stderr: '', stdout: 'a\n' })
  })

  it('loses nothing to a reader that goes away, but what the pipe had taken', async () => {
    await runLeveret(['send', 'pipe', '--to', leveret.url], { input: file('pipe.txt', lines(50_000)) })
    const receiving = start('receive', 'pipe', '--from', leveret.url)
    receiving.child.stdout?.once('data', () => receiving.child.stdout?.destroy())
    const { code, stdout, stderr } = await receiving.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const rest = await runLeveret(['receive', 'pipe', '--from', leveret.url, '--idle', '200ms'])
    const first = Number(/line (\d+)/.exec(rest.stdout)?.[1])
    // What was acknowledged had been written to the pipe, which holds 64 KiB beside what was read.
    const written = lines(first).length
    expect(written).toBeGreaterThanOrEqual(stdout.length)
    expect(written).toBeLessThan(stdout.length + 200_000)
    expect(rest.stdout).toBe(lines(50_000).slice(written))
  })

  it('sends what comes slowly as it comes, and says what is stored when it is interrupted', async () => {
    const sending = start('send', 'slow', '--to', leveret.url)
    sending.child.stdin?.write('a\nb\nhalf a li')
    const receiving = start('receive', 'slow', '--from', leveret.url, '--count', '2')
    expect(await receiving.ended).toMatchObject({ code: 0, stdout: 'a\nb\n' })
    sending.child.kill('SIGINT')
    expect(await sending.ended).toEqual({
      code: 1,
      stdout: '',
      stderr: 'leveret: E_CLOSED: interrupted; 2 lines are stored for certain: go on with --skip 2\n',
    })
  })

  it('says at once that the broker has gone, though the feeder is silent', async () => {
    const other = await LeveretProcess.start()
    const sending = start('send', 'lost', '--to', other.url, '--skip', '1')
    sending.child.stdin?.write('a\nb\nc\n')
    const receiving = start('receive', 'lost', '--from', other.url)
    await receiving.says('c\n')
    await other.kill()
    const sent = await sending.ended
    expect(sent.code).toBe(1)
    // Messages are delivered before they are on disk, so the kill may come before the confirms.
    expect(sent.stderr).toMatch(
      /^leveret: E_CONNECTION_LOST: [^\n]+; ([123]) lines are stored for certain: go on with --skip \1\n$/,
    )
    const received = await receiving.ended
    expect(received.code).toBe(1)
    expect(received.stderr).toMatch(/^leveret: E_CONNECTION_LOST: [^\n]+\n$/)
    await other.dispose()
  })
})

describe('leveret serve', () => {
  it('says that it is ready, and where, and ends with a signal', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const serving = start('serve', '--data', data('serve'), '--amqp-port', '0')
      await serving.says('leveret receive greetings')
      serving.child.kill(signal)
      const { code, stdout, stderr } = await serving.ended
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      const ready = /^leveret ready amqp:\/\/127\.0\.0\.1:(\d+) data (.*) pid (\d+) in \d+ ms\n/.exec(stdout)
      expect(ready?.slice(2)).toEqual([data('serve'), String(serving.child.pid)])
    }
  })

  it('promises what it is told to, and says so when it is ready and whenever it is asked', async () => {
    const args = ['serve', '--data', data('levels'), '--amqp-port', '0', '--durability', 'write']
    const serving = start(...args, '--deliver-after', 'sync')
    await serving.says('leveret receive greetings')
    const url = serving.text().match(/amqp:\S+/)?.[0] ?? ''
    await runLeveret(['send', 'levels', '--to', url], { input: file('levels.txt', lines(3)) })
    const listed = await runLeveret(['queues', 'levels', '--at', url, '--json'])
    expect(JSON.parse(listed.stdout)).toMatchObject({ ready: 3, durability: 'write', deliverAfter: 'sync' })
    const received = await runLeveret(['receive', 'levels', '--from', url, '--count', '3'])
    expect(received.stdout).toBe(lines(3))
    serving.child.kill('SIGTERM')
    const { code, stdout } = await serving.ended
    expect(code).toBe(0)
    expect(stdout).toContain(`data ${data('levels')} durability write deliver-after sync pid`)
  })

  it('goes on when nobody reads what it prints', async () => {
    const port = await freePort()
    const serving = start('serve', '--memory', '--amqp-port', String(port))
    serving.child.stdout?.destroy()
    const tryConnect = (): Promise<Bus | null> => connect(`amqp://127.0.0.1:${port}`).catch(() => null)
    let bus = await tryConnect()
    while (bus === null) bus = await tryConnect()
    await bus.close()
    serving.child.kill('SIGTERM')
    expect(await serving.ended).toMatchObject({ code: 0, stderr: '' })
  })

  it('serves memory, and says so as JSON', async () => {
    const serving = start('serve', '--memory', '--amqp-port', '0', '--json')
    await serving.says('\n')
    serving.child.kill('SIGTERM')
    const { code, stdout } = await serving.ended
    expect(code).toBe(0)
    const ready = JSON.parse(stdout) as { url: string }
    expect(ready).toMatchObject({ ready: true, data: null, pid: serving.child.pid })
    expect(ready.url).toMatch(/^amqp:\/\/127\.0\.0\.1:\d+$/)
  })

  it('keeps what it was sent', async () => {
    await using leveret = await LeveretProcess.start()
    await runLeveret(['send', 'kept', '--to', leveret.url], { input: file('kept.txt', lines(1_000)) })
    expect(await leveret.stop()).toEqual({ code: 0, signal: null })
    const { stdout } = await runLeveret(['receive', 'kept', '--from', leveret.folder])
    expect(stdout).toBe(lines(1_000))
  })

  it('says which port or folder it cannot have', async () => {
    await using leveret = await LeveretProcess.start()
    const port = await runLeveret(['serve', '--memory', '--amqp-port', String(leveret.port)])
    expect(port.code).toBe(1)
    expect(port.stderr).toContain(`E_REFUSED: cannot serve on 127.0.0.1:${leveret.port}: something listens there`)
    const used = await runLeveret(['serve', '--data', leveret.folder, '--amqp-port', '0'])
    expect(used.stderr).toContain('E_FOLDER_IN_USE')
  })
})
