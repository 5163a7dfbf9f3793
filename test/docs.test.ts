// What the documentation shows is run: TypeScript and JavaScript blocks each in an empty folder, shell blocks in order.
// Marks after the language, as in "ts no-run": `no-run` checks only (types, or shell syntax); `background` starts a shell
// block, waits for "leveret ready" and stops it with SIGTERM after the page's last block. Blocks of `text` are left alone.
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CodeBlock, codeBlocks } from './support/code-blocks.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const commandLine = join(root, 'dist/cli/main.js')
const readmes = ['README.md', 'README.zh-CN.md']
const blockTimeoutMs = 20_000

interface Page {
  readonly path: string
  readonly blocks: readonly CodeBlock[]
}

function pagesOf(): Page[] {
  const docs = existsSync(join(root, 'docs'))
    ? readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    : []
  const paths = [...readmes, ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)].sort()
  return paths.map((path) => ({ path, blocks: codeBlocks(readFileSync(join(root, path), 'utf8')) }))
}

const pages = pagesOf()
// Inside the package, so that 'leveret' is the package itself, found through its own exports as a user's import would be.
mkdirSync(join(root, 'build'), { recursive: true })
const buildFolder = mkdtempSync(join(root, 'build/docs-'))
const workFolder = mkdtempSync(join(tmpdir(), 'leveret-docs-'))
const binFolder = join(workFolder, 'bin')

function nameOf(page: Page, block: CodeBlock): string {
  return `${page.path.replace(/\.md$/, '').replaceAll(/[^\w]+/g, '-')}-line-${block.line}`
}

/** Empty lines before the code, so that errors name the line of the page. */
function atItsLine(block: CodeBlock): string {
  return '\n'.repeat(block.line - 1) + block.code
}

interface Outcome {
  readonly code: number | string
  readonly output: string
}

interface Running {
  readonly process: ChildProcess
  readonly output: () => string
  readonly ended: Promise<Outcome>
}

function start(command: string, args: readonly string[], cwd: string): Running {
  const env = {
    PATH: `${binFolder}:${process.env['PATH'] ?? ''}`,
    HOME: cwd,
    TMPDIR: tmpdir(),
    LANG: 'C.UTF-8',
    NO_COLOR: '1',
  }
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const gather = (chunk: Buffer): void => {
    output += chunk.toString()
  }
  child.stdout.on('data', gather)
  child.stderr.on('data', gather)
  const ended = new Promise<Outcome>((resolve) => {
    child.on('error', (error) => resolve({ code: error.message, output }))
    // Not 'close': a command put into the background keeps the pipes open. The turn lets the last output come in.
    child.on('exit', (code, signal) => setTimeout(() => resolve({ code: code ?? signal ?? 'unknown', output }), 20))
  })
  return { process: child, output: () => output, ended }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The whole group has ended.
  }
}

async function within<T>(ms: number, promise: Promise<T>, otherwise: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise()), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

async function finish(running: Running, timeoutMs: number): Promise<Outcome> {
  const late = (): Outcome => ({ code: `still running after ${timeoutMs} ms`, output: running.output() })
  return within(timeoutMs, running.ended, late)
}

function expectSuccess(outcome: Outcome): void {
  expect(outcome.code, `\n${outcome.output}\n`).toBe(0)
}

async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  timeoutMs = blockTimeoutMs,
): Promise<Outcome> {
  const running = start(command, args, cwd)
  const outcome = await finish(running, timeoutMs)
  signalGroup(running.process, 'SIGKILL')
  return outcome
}

function writeCommand(name: string, script: string): void {
  writeFileSync(join(binFolder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(binFolder, name), 0o755)
}

const typeErrors: string[] = []

async function compileBlocks(): Promise<void> {
  mkdirSync(join(buildFolder, 'ts'))
  mkdirSync(join(buildFolder, 'js'))
  let count = 0
  for (const page of pages) {
    for (const block of page.blocks) {
      if (block.language === 'js') writeFileSync(join(buildFolder, 'js', `${nameOf(page, block)}.js`), atItsLine(block))
      if (block.language !== 'ts') continue
      writeFileSync(join(buildFolder, 'ts', `${nameOf(page, block)}.ts`), atItsLine(block))
      count++
    }
  }
  if (count === 0) return
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    module: 'nodenext',
    moduleDetection: 'force',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    sourceMap: true,
    rootDir: 'ts',
    outDir: 'js',
  }
  writeFileSync(join(buildFolder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['ts'] }))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const outcome = await run(process.execPath, [compiler, '--pretty', 'false', '-p', buildFolder], buildFolder, 110_000)
  // A message may go on in indented lines.
  typeErrors.push(...outcome.output.split(/\n(?=\S)/).filter((text) => text.trim() !== ''))
  if (outcome.code !== 0 && typeErrors.length === 0) throw new Error(`tsc: ${outcome.code}`)
}

beforeAll(async () => {
  mkdirSync(binFolder)
  writeCommand('leveret', `exec '${process.execPath}' '${commandLine}' "$@"`)
  writeCommand(
    'npx',
    `while [ "$1" = -y ] || [ "$1" = --yes ]; do shift; done
case "$1" in
  leveret | leveret@*) shift; exec leveret "$@" ;;
  *) echo "npx $1: only leveret is known here" >&2; exit 127 ;;
esac`,
  )
  await compileBlocks()
}, 120_000)

afterAll(() => {
  rmSync(buildFolder, { recursive: true, force: true })
  rmSync(workFolder, { recursive: true, force: true })
})

function testProgram(page: Page, block: CodeBlock): void {
  const runs = !block.marks.includes('no-run')
  it(`${runs ? 'runs' : 'type-checks'} the ${block.language} block at line ${block.line}`, async () => {
    const name = nameOf(page, block)
    const errors = typeErrors.filter((text) => text.startsWith(`ts/${name}.ts(`) || !text.startsWith('ts/'))
    expect(errors, `\n${errors.join('\n')}\n`).toEqual([])
    const program = join(buildFolder, 'js', `${name}.js`)
    if (!runs) return expectSuccess(await run(process.execPath, ['--check', program], workFolder))
    const cwd = join(workFolder, name)
    mkdirSync(cwd)
    expectSuccess(await run(process.execPath, ['--enable-source-maps', program], cwd))
  })
}

/** Installing the package is exempt: it would fetch what stands here already. */
function withoutInstall(code: string): string {
  return code.replaceAll(/^\s*(npm (ci|install|i|add)|git clone)\b.*$/gm, ':')
}

function testShell(page: Page, block: CodeBlock, background: Running[]): void {
  const runs = !block.marks.includes('no-run')
  it(`${runs ? 'runs' : 'parses'} the sh block at line ${block.line}`, async () => {
    const cwd = join(workFolder, page.path.replaceAll('/', '-'))
    mkdirSync(cwd, { recursive: true })
    const args = ['-euo', 'pipefail', ...(runs ? [] : ['-n']), '-c', withoutInstall(block.code)]
    const running = start('bash', args, cwd)
    background.push(running)
    if (!runs || !block.marks.includes('background')) return expectSuccess(await finish(running, blockTimeoutMs))
    await expect.poll(running.output, { timeout: blockTimeoutMs, interval: 20 }).toContain('leveret ready')
  })
}

for (const page of pages) {
  describe(page.path, () => {
    const background: Running[] = []
    if (readmes.includes(page.path)) {
      it('shows at least one block that is run', () => {
        expect(page.blocks.filter((block) => ['ts', 'js', 'sh'].includes(block.language))).not.toEqual([])
      })
    }
    it('marks its blocks with words that mean something', () => {
      const known = ['no-run', 'background']
      expect(page.blocks.flatMap((block) => block.marks.filter((mark) => !known.includes(mark)))).toEqual([])
    })
    for (const block of page.blocks) {
      if (block.language === 'ts' || block.language === 'js') testProgram(page, block)
      if (block.language === 'sh') testShell(page, block, background)
    }
    afterAll(async () => {
      for (const running of background) signalGroup(running.process, 'SIGTERM')
      await Promise.all(background.map((running) => finish(running, 5_000)))
      for (const running of background) signalGroup(running.process, 'SIGKILL')
    })
  })
}
