// The style guide, as far as a machine can read it. Each finding prints file:line and what to do instead.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { codeBlocks } from './support/code-blocks.ts'
import { bannedUses, type Finding, hiddenTests, invisible, shape, unfinished } from './support/tidy-rules.ts'

const root = new URL('../', import.meta.url)
const readmes = ['README.md', 'README.zh-CN.md']

function read(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}

function filesUnder(folder: string, pattern: RegExp): string[] {
  const url = new URL(`${folder}/`, root)
  if (!existsSync(url)) return []
  return readdirSync(url, { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((path) => pattern.test(path) && !/\/(node_modules|dist|build)\//.test(path))
    .sort()
}

const sources = filesUnder('src', /\.(ts|mts|cts|js|mjs|cjs|tsx|jsx)$/)
const shipped = sources.filter((path) => !path.endsWith('.test.ts'))
const tests = [...sources.filter((path) => path.endsWith('.test.ts')), ...filesUnder('test', /\.ts$/)]
const tools = ['scripts', 'bench', 'examples'].flatMap((folder) => filesUnder(folder, /\.(ts|mjs|js|sh|py)$/))
const pages = [...readmes, 'CONTRIBUTING.md', 'ARCHITECTURE.md', 'CHANGELOG.md', ...filesUnder('docs', /\.md$/)]

function check(paths: readonly string[], rule: (path: string, source: string) => Finding[]): void {
  const findings = paths
    .filter((path) => existsSync(new URL(path, root)))
    .flatMap((path) => rule(path, read(path)).map((finding) => `${path}:${finding.line} ${finding.text}`))
  expect(findings, `\n${findings.join('\n')}\n`).toEqual([])
}

describe('the repository', () => {
  it('takes time, chance, files and sockets from the platform only', () => check(shipped, bannedUses))
  it('opens each source with what it is, in at most 700 lines, with named exports and erasable syntax', () =>
    check(sources, shape))
  it('has TypeScript sources only', () => expect(sources.filter((path) => !path.endsWith('.ts'))).toEqual([]))
  it('leaves nothing marked as unfinished in sources', () => check(sources, (_path, source) => unfinished(source)))
  it('hides no test', () => check(tests, hiddenTests))
  it('has no invisible characters', () =>
    check([...sources, ...tests, ...tools, ...pages], (_path, source) => invisible(source)))
  it('shows the same code blocks in both languages', () => {
    const kinds = readmes.map((path) =>
      codeBlocks(read(path)).map((block) => [block.language, ...block.marks].join(' ')),
    )
    expect(kinds[0]?.length).toBeGreaterThan(0)
    expect(kinds[1]).toEqual(kinds[0])
  })
})

describe('the tidy rules', () => {
  const path = 'src/broker/example.ts'
  const texts = (findings: Finding[]): string[] => findings.map((finding) => `${finding.line} ${finding.text}`)

  it.each([
    'Date.now()',
    'globalThis.Date.now()',
    'new Date()',
    'new Date(1)',
    'new Date',
    'Date()',
    'performance.now()',
    'Math.random()',
    'crypto.randomUUID()',
    'setTimeout(f, 1)',
    'globalThis.setTimeout(f, 1)',
    'setInterval(f, 1)',
    'setImmediate(f)',
    'queueMicrotask(f)',
    'process.nextTick(f)',
    'process.env.HOME',
    "process['env']",
    'console.log(1)',
    'const later = setTimeout',
    // A line of a source that the rule must find.
    // oxlint-disable-next-line no-template-curly-in-string
    '`${Date.now()}`',
    "import { readFileSync } from 'node:fs'",
    "import { open } from 'fs/promises'",
    "import type { Socket } from 'node:net'",
    "export * from 'node:tls'",
    "await import('node:timers/promises')",
    "let s: import('node:net').Socket",
    "import { createServer } from 'node:http'",
  ])('finds %s', (code) => {
    const findings = bannedUses(path, `// A comment.\n\n${code}\n`)
    expect(findings.map((finding) => finding.line)).toEqual([3])
    expect(findings[0]?.text).toContain('use ')
  })

  it.each([
    '// process.exit in prose, setTimeout too',
    '/* Date.now() */ f()',
    'f(\'process.env\', "setTimeout", `console.log`)',
    'f(/process.exit/)',
    "f('//', 1) /* it's setTimeout */",
    'queue.process(handler)',
    'this.process.start()',
    'clock.setTimeout(1)',
    'const processed = 1, mysetTimeout = 2',
    'subprocess.kill()',
    "import { strict } from 'node:assert'",
    "import { fs } from './fs.ts'",
  ])('lets pass: %s', (code) => expect(texts(bannedUses(path, code))).toEqual([]))

  it('lets the Node platform do all, the command line use process and console, and http use node:http', () => {
    expect(bannedUses('src/platform/node-clock.ts', 'setTimeout(f); Date.now()')).toEqual([])
    expect(bannedUses('src/cli/main.ts', 'process.exit(1); console.log(new Date(time).toISOString())')).toEqual([])
    expect(bannedUses('src/http/http-server.ts', "import { createServer } from 'node:http'")).toEqual([])
    expect(bannedUses('src/platform/clock.ts', 'Date.now()')).toHaveLength(1)
    expect(bannedUses('src/cli/main.ts', "import fs from 'node:fs'\nsetTimeout(f); new Date()")).toHaveLength(3)
  })

  it('finds what breaks the shape of a source file', () => {
    expect(texts(shape(path, 'export const a = 1\n'))).toEqual(['1 open the file with a comment that says what it is'])
    expect(texts(shape(path, '/***/\nexport const a = 1\n'))).toHaveLength(1)
    expect(shape(path, `// A.\n${'f()\n'.repeat(700)}`)).toHaveLength(1)
    expect(shape(path, `// A.\n${'f()\n'.repeat(699)}`)).toEqual([])
    expect(shape(path, '#!/usr/bin/env node\n// A.\n')).toEqual([])
    expect(shape(path, '/**\n * A.\n */\ndeclare global { interface A {} }\n')).toEqual([])
    for (const code of [
      'export default 1',
      'export default function f() {}',
      'export { a as default }',
      'enum A {}',
      'const enum A {}',
      'namespace A {}',
    ]) {
      expect(texts(shape(path, `// A.\n${code}\n`)), code).toHaveLength(1)
    }
  })

  it('finds unfinished work, invisible characters and hidden tests', () => {
    expect(texts(unfinished('a\n// TODO: b'))).toEqual(['2 TODO: finish it, or write down what is so in a sentence'])
    expect(texts(invisible('a\n\u0000\u202e\r'))).toHaveLength(3)
    expect(invisible('tab\t, 中文, emoji 👩‍💻\n')).toEqual([])
    for (const code of ["it.only('a', f)", "describe.skip('a', f)", "it.concurrent.only('a', f)", 'it.skip.each(x)']) {
      expect(hiddenTests(path, code), code).toHaveLength(1)
    }
    expect(hiddenTests(path, "context.skip('no RabbitMQ'); it.skipIf(x)('a', f); list.only()\n// it.only")).toEqual([])
  })

  it('reads code blocks as a reader of Markdown does', () => {
    const markdown = 'a\n```ts no-run\none\n  two\n```\n- b\n\n  ~~~~ sh\n  ~~~\n  ~~~~\n```\n```\n'
    expect(codeBlocks(markdown)).toEqual([
      { language: 'ts', marks: ['no-run'], line: 3, code: 'one\n  two\n' },
      { language: 'sh', marks: [], line: 9, code: '~~~\n' },
      { language: '', marks: [], line: 12, code: '' },
    ])
    expect(() => codeBlocks('```ts\nf()\n')).toThrow('line 1')
  })
})
