// The package as npm would publish it, installed into an empty folder: the README's first snippet runs there with plain
// Node, and so does the command.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { codeBlocks } from './support/code-blocks.ts'
import { removeFolder, temporaryFolder } from './support/temporary-folder.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const timeoutMs = 60_000
const dependencies = ['commander', 'croner', 'jiti', 're2js']

let work: string
let installed: string

function run(command: string, args: readonly string[], cwd: string): string {
  // What the surrounding npm told this process is not for the one we start.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)))
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: timeoutMs })
  if (error !== undefined) throw error
  expect(status, `${command} ${args.join(' ')}\n${stdout}${stderr}`).toBe(0)
  return stdout
}

/** Packs what is built already: building again would pull the files away from under other tests. */
function pack(folder: string): string {
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', work, folder]
  const [packed] = JSON.parse(run('npm', args, work)) as { filename: string }[]
  return join(work, packed!.filename)
}

beforeAll(() => {
  work = temporaryFolder('package')
  installed = join(work, 'app')
  mkdirSync(installed)
  writeFileSync(join(installed, 'package.json'), '{ "name": "app", "private": true }\n')
  // The dependencies come from what is installed here, so that nothing has to be fetched.
  const tarballs = [root, ...dependencies.map((name) => join(root, 'node_modules', name))].map(pack)
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], installed)
}, 2 * timeoutMs)

afterAll(() => removeFolder(work))

it('installs leveret, commander, croner, jiti and re2js, and nothing else', () => {
  const lock = JSON.parse(readFileSync(join(installed, 'package-lock.json'), 'utf8')) as { packages: object }
  expect(Object.keys(lock.packages).sort()).toEqual([
    '',
    'node_modules/commander',
    'node_modules/croner',
    'node_modules/jiti',
    'node_modules/leveret',
    'node_modules/re2js',
  ])
})

it("runs the README's first snippet with plain Node", () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const [block] = codeBlocks(readme)
  expect(block).toMatchObject({ language: 'js', marks: [] })
  writeFileSync(join(installed, 'hello.mjs'), block!.code)
  const output = run(process.execPath, ['hello.mjs'], installed)
  // It prints what its comment promises, and leaves its messages in the folder it names.
  expect(output).toContain('bytes: 5')
  expect(existsSync(join(installed, 'data/FORMAT'))).toBe(true)
})

it('has a broker for tests, which needs no test runner and keeps no process alive', () => {
  writeFileSync(
    join(installed, 'kit.mjs'),
    `import { createTestBroker } from 'leveret/testing'
const test = await createTestBroker({ seed: 1 })
const bus = await test.connect()
const queue = await bus.createQueue('work', { retry: { min: '1h', jitter: false } })
queue.process((message, { attempt }) => {
  if (attempt === 1 || message.data === 'never') throw new Error('later')
  return attempt
}, { onError() {} })
const receipt = await queue.send('later', { receipt: true })
await test.advance('2h')
console.log('attempt', await receipt.processed(), test.now.toISOString())
// Neither its next attempt nor the timeout comes, for nobody lets time go by.
const forgotten = await queue.send('never', { receipt: true })
forgotten.processed({ timeout: '1d' }).catch(() => {})
`,
  )
  expect(run(process.execPath, ['kit.mjs'], installed)).toBe('attempt 2 2026-01-01T02:00:00.000Z\n')
})

it('has types that a strict project accepts', () => {
  writeFileSync(
    join(installed, 'typed.mts'),
    `import { type Bus, connect, defineQueue } from 'leveret'
import { asyncApi, type AsyncApiDocument } from 'leveret/asyncapi'
import { createTestBroker, type Fault, type TestBroker } from 'leveret/testing'
const document: AsyncApiDocument = asyncApi([defineQueue<{ file: string }, { bytes: number }>('resize')])
const bus = await connect('memory:')
const queue = await bus.createQueue(defineQueue<{ file: string }, { bytes: number }>('resize'))
const receipt = await queue.send({ file: 'a' }, { receipt: true })
const result: { bytes: number } = await receipt.processed()
// @ts-expect-error the data are of another type
await queue.send({ name: 'a' })
await using test: TestBroker = await createTestBroker({ seed: 1, now: new Date() })
const inTest: Bus = await test.connect()
using fault: Fault = test.faults.reorder({ share: 0.5, queue: 'resize', within: '1s' })
await test.run(inTest.createQueue('resize'))
export { document, result }
`,
  )
  const types = join(root, 'node_modules/@types')
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const flags = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--lib',
    'es2023,esnext.disposable',
  ]
  run(process.execPath, [compiler, ...flags, '--types', 'node', '--typeRoots', types, 'typed.mts'], installed)
})

it('has a command', () => {
  const help = run('npx', ['--offline', 'leveret', '--help'], installed)
  for (const word of ['serve', 'send', 'receive', 'queues']) expect(help).toContain(word)
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  expect(run('npx', ['--offline', 'leveret', '--version'], installed).trim()).toBe(version)
})

it('has no untyped corner: no declaration says any', () => {
  const folder = join(installed, 'node_modules/leveret/dist')
  const files = ['index.d.ts', 'asyncapi/async-api.d.ts', 'testing/index.d.ts']
  const seen = new Set<string>()
  for (let file = files.shift(); file !== undefined; file = files.shift()) {
    if (seen.has(file)) continue
    seen.add(file)
    const text = readFileSync(join(folder, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '')
    expect(/\bany\b/.exec(text)?.[0], file).toBeUndefined()
    for (const [, path] of text.matchAll(/from '(\.[^']+)\.(?:js|ts)'/g)) {
      files.push(join(dirname(file), `${path}.d.ts`))
    }
  }
  expect(seen.size).toBeGreaterThan(30)
})
