// The administrators' commands, as processes: on a folder, on a broker that is served, and when a broker begins.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeveretProcess } from '../../test/support/leveret-process.ts'
import { freePort } from '../../test/support/port.ts'
import { type Outcome, runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import { connect } from '../index.ts'

let folder: string

beforeAll(() => {
  folder = temporaryFolder('administration')
})

afterAll(() => removeFolder(folder))

function file(name: string, content: object | string): string {
  const path = join(folder, name)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

async function done(args: readonly string[], input?: string): Promise<string> {
  const outcome = await runLeveret(args, input === undefined ? {} : { input: file('input', input) })
  expect(outcome, outcome.stderr).toMatchObject({ code: 0, stderr: '' })
  return outcome.stdout
}

const definitions = {
  users: [{ name: 'ops', password: 'swordfish', tags: ['administrator'] }],
  vhosts: [{ name: '/' }, { name: 'shop' }],
  permissions: [{ user: 'ops', vhost: 'shop', configure: '^(orders|x)$', write: '.*', read: '.*' }],
  policies: [{ vhost: 'shop', name: 'p', pattern: '^orders', definition: { 'max-length': 5 } }],
  exchanges: [{ name: 'x', vhost: 'shop', type: 'topic', durable: true }],
  queues: [{ name: 'orders', vhost: 'shop', durable: true, arguments: { 'x-max-priority': 3 } }],
  bindings: [{ source: 'x', vhost: 'shop', destination: 'orders', routing_key: '#' }],
}

describe('leveret definitions', () => {
  it('imports a file into a folder, and exports it again', async () => {
    const data = join(folder, 'data')
    const text = await done(['definitions', 'import', file('d.json', definitions), data])
    expect(text).toBe('imported 1 users, 2 vhosts, 1 permissions, 1 policies, 1 exchanges, 1 queues, 1 bindings\n')
    const out = await done(['definitions', 'export', data])
    expect(JSON.parse(out)).toMatchObject({
      users: [{ name: 'guest' }, { name: 'ops', tags: ['administrator'] }],
      queues: [{ name: 'orders', vhost: 'shop', arguments: { 'x-max-priority': 3 } }],
    })
    expect(out).not.toMatch(/hash|swordfish/)
    const own = JSON.parse(await done(['definitions', 'export', data, '--vhost', 'shop'])) as object
    expect(Object.keys(own)).not.toContain('users')
    expect(await done(['definitions', 'export', data, '--with-hashes'])).toContain('password_hash')
    const other = join(folder, 'other')
    await done(['definitions', 'import', file('all.json', out), other])
    expect(await done(['definitions', 'export', other])).toBe(out)
  })

  const wrong: readonly (readonly [string, object | string, string])[] = [
    ['no JSON', '{', 'E_BAD_DEFINITIONS: .+ is no JSON: '],
    ['a list', '[]', 'E_BAD_DEFINITIONS: .+ has no JSON object'],
    [
      'a mistake',
      { queues: [{ name: 'q', vhost: 'h' }] },
      "E_BAD_DEFINITIONS: queues\\[0\\] 'q' of vhost 'h': vhost 'h' not found; nothing",
    ],
  ]

  it.each(wrong)('says what is wrong with a file that is %s', async (_what, content, text) => {
    const outcome = await runLeveret(['definitions', 'import', file('wrong.json', content), join(folder, 'data-2')])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(new RegExp(`^leveret: ${text}.*\n$`))
  })

  it('says that there is no such file', async () => {
    const outcome = await runLeveret(['definitions', 'import', join(folder, 'missing.json'), join(folder, 'data-2')])
    expect(outcome.stderr).toMatch(/^leveret: E_BAD_DEFINITIONS: .+missing\.json cannot be read: ENOENT/)
  })
})

describe('a served broker', () => {
  let leveret: LeveretProcess
  let at: string[]
  const refused = async (...args: string[]): Promise<Outcome> => runLeveret([...args, ...at])

  beforeAll(async () => {
    const args = ['--definitions', file('serve.json', definitions)]
    leveret = await LeveretProcess.start({ args })
    at = ['--at', `amqp://127.0.0.1:${leveret.port}`]
  })

  afterAll(() => leveret.dispose())

  const url = (user: string, password: string, host = ''): string =>
    `amqp://${user}:${password}@127.0.0.1:${leveret.port}/${host}`

  it('has what the file defined before it is ready', async () => {
    await using bus = await connect(url('ops', 'swordfish', 'shop'))
    const queue = await bus.openQueue('orders')
    await queue.send({ n: 1 })
    await expect(bus.createQueue('another')).rejects.toMatchObject({
      message: "ACCESS_REFUSED - configure access to queue 'another' in vhost 'shop' refused for user 'ops'",
    })
  })

  it('is administered from the command line', async () => {
    await done(['vhost', 'put', 'till', '--description', 'money', ...at])
    expect(await done(['vhost', 'list', ...at])).toMatch(/till +money/)
    await done(['user', 'put', 'anna', '--tags', 'monitoring, management', ...at], 'trout\n')
    await done([
      'permission',
      'put',
      'anna',
      '^(mine|yours|amq[.]gen-)',
      '^(leveret.control|amq.default)$',
      '.*',
      '--vhost',
      'till',
      ...at,
    ])
    expect(await done(['user', 'list', ...at])).toMatch(/anna +monitoring, management +till: '\^\(mine/)
    await using bus = await connect(url('anna', 'trout', 'till'))
    await bus.createQueue('mine')
    await done(['user', 'put', 'anna', '--tags', 'administrator', '--no-password', ...at])
    expect(await bus.exportDefinitions()).toMatchObject({ vhosts: [{}, {}, { name: 'till' }] })
    await done(['policy', 'put', 'short', '^tmp', '{"max-length": 10}', '--priority', '-3', '--vhost', 'till', ...at])
    const [policy] = (await done(['policy', 'list', '--json', ...at])).split('\n').slice(-2)
    expect(JSON.parse(policy ?? '')).toMatchObject({ vhost: 'till', name: 'short', priority: -3, operator: false })
    await done(['policy', 'delete', 'short', '--vhost', 'till', ...at])
    await done(['permission', 'delete', 'anna', '--vhost', 'till', ...at])
    await expect(connect(url('anna', 'trout', 'till'))).rejects.toThrow("access to vhost 'till' refused")
    await done(['user', 'delete', 'anna', ...at])
    await done(['vhost', 'delete', 'till', ...at])
    expect(await done(['vhost', 'list', ...at])).not.toContain('till')
  })

  it('exports and imports', async () => {
    const [, address] = at
    const out = await done(['definitions', 'export', address as string])
    expect(await done(['definitions', 'import', file('again.json', out), address as string])).toContain('1 queues')
    expect(await done(['definitions', 'export', address as string])).toBe(out)
  })

  it('says why something was refused', async () => {
    expect((await refused('user', 'delete', 'nobody')).stderr).toBe("leveret: NOT_FOUND: user 'nobody' not found\n")
    const user = await refused('user', 'put', 'new')
    expect(user).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('E_BAD_DATA: no password came on standard input'),
    })
    const policy = await refused('policy', 'put', 'p', '', 'max-length=3')
    expect(policy).toMatchObject({ code: 2, stderr: expect.stringContaining('has to be a JSON object') })
    const pattern = await refused('policy', 'put', 'p', '(', '{"expires": 1}')
    expect(pattern.stderr).toContain("PRECONDITION_FAILED: the pattern '(' is no regular expression")
  })

  it('remembers all of it', async () => {
    await leveret.stop()
    await leveret.start()
    await using bus = await connect(url('ops', 'swordfish', 'shop'))
    expect(await (await bus.openQueue('orders')).count()).toMatchObject({ ready: 1 })
    expect(readFileSync(join(leveret.folder, 'FORMAT'), 'utf8')).toContain('incompat')
  })
})

it('leveret serve says what is wrong with its definitions, and serves nobody', async () => {
  const path = file('bad.json', { bindings: [{ source: 'a', vhost: '/', destination: 'b' }] })
  const outcome = await runLeveret(['serve', '--memory', '--amqp-port', '0', '--definitions', path])
  expect(outcome).toMatchObject({ code: 1, stdout: '' })
  expect(outcome.stderr).toMatch(
    /^leveret: E_BAD_DEFINITIONS: bindings\[0\] 'a' of vhost '\/': no exchange 'a' in vhost '\/'; nothing/,
  )
})

describe('leveret serve with TLS', () => {
  const pem = (name: string): string => fileURLToPath(new URL(`../../test/certificates/${name}`, import.meta.url))

  it('listens beside plain AMQP, and knows clients by their certificates', async () => {
    const port = await freePort()
    const tls = ['--tls-cert', pem('server.pem'), '--tls-key', pem('server.key'), '--tls-ca', pem('ca.pem')]
    const users = [{ name: 'anna', tags: [] }]
    const permissions = [{ user: 'anna', vhost: '/', configure: '.*', write: '.*', read: '.*' }]
    const defined = ['--definitions', file('tls.json', { users, permissions })]
    await using leveret = await LeveretProcess.start({ args: [...tls, '--tls-port', String(port), ...defined] })
    const shown = `cacertfile=${pem('ca.pem')}&certfile=${pem('client.pem')}&keyfile=${pem('client.key')}`
    await using bus = await connect(`amqps://localhost:${port}?${shown}&auth_mechanism=external`)
    await bus.createQueue('q')
    const url = `amqps://localhost:${port}?cacertfile=${pem('ca.pem')}`
    expect(await done(['queues', '--at', url])).toContain('q ')
    expect(await done(['queues', '--at', leveret.url])).toContain('q ')
  })

  it('needs both files, and says which ways there are', async () => {
    for (const [args, text] of [
      [['--tls-cert', 'a.pem'], 'TLS needs --tls-cert and --tls-key, both files in PEM'],
      [['--tls-only'], 'TLS needs --tls-cert and --tls-key'],
      [['--tls-cert', 'a', '--tls-key', 'b', '--tls-verify', 'perhaps'], '--tls-verify'],
    ] as const) {
      const outcome = await runLeveret(['serve', '--memory', '--amqp-port', '0', ...args])
      expect(outcome).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(text) })
    }
  })
})
