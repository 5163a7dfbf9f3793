// What a machine can check of the style guide: bans by name with what to use instead, and the shape of a source file.
import ts from 'typescript'

export interface Finding {
  /** Counted from 1. */
  readonly line: number
  readonly text: string
}

interface Ban {
  readonly pattern: RegExp
  readonly instead: string
  /** Paths that may use it all the same. */
  readonly allowedIn?: RegExp
}

const nodePlatform = /^src\/platform\/node-[^/]+\.ts$/

/** A name that stands alone: not a property of something else, not a part of a longer name. */
function global(name: string): RegExp {
  return new RegExp(String.raw`(?<![\w$.])(?:globalThis\s*\.\s*)?${name}`, 'g')
}

const bannedNames: readonly Ban[] = [
  { pattern: global(String.raw`Date\s*\.\s*now\b`), instead: 'platform.clock.realtimeMs() or monotonicMs()' },
  // Nobody may ask for the present; a time that was given may be formatted by the command line, read from a table, or shown
  // to users.
  { pattern: global(String.raw`new\s+Date\s*\(\s*\)`), instead: 'platform.clock.realtimeMs()' },
  {
    pattern: global(String.raw`new\s+Date\b(?!\s*\(\s*\))`),
    instead: 'milliseconds as a number',
    allowedIn:
      /^src\/(cli\/|cron-engine\.ts$|model\/field-table\.ts$|client\/(incoming|queued-message|schedules)\.ts$|testing\/kit\/test-broker\.ts$)/,
  },
  { pattern: global(String.raw`(?<!new\s+)Date\s*\(`), instead: 'platform.clock.realtimeMs()' },
  { pattern: global(String.raw`performance\s*\.`), instead: 'platform.clock.monotonicMs()' },
  { pattern: global(String.raw`Math\s*\.\s*random\b`), instead: 'platform.random' },
  { pattern: global(String.raw`crypto\s*\.`), instead: 'platform.random' },
  {
    pattern: global(String.raw`(?:set|clear)(?:Timeout|Interval)\b`),
    instead: 'platform.clock.setTimer(delayMs, callback)',
  },
  { pattern: global(String.raw`AbortSignal\s*\.\s*timeout\b`), instead: 'platform.clock.setTimer(delayMs, callback)' },
  // The simulated clock is the one place that must let the runtime's own promises settle.
  {
    pattern: global(String.raw`(?:set|clear)Immediate\b`),
    instead: 'platform.clock.defer(callback)',
    allowedIn: /^src\/testing\/sim-clock\.ts$/,
  },
  { pattern: global(String.raw`queueMicrotask\b`), instead: 'platform.clock.defer(callback)' },
  {
    pattern: global(String.raw`process\s*(?:\?\.|[.[])`),
    instead: 'platform.clock.defer for nextTick, platform.clock for hrtime, an option or argument for env',
    allowedIn: /^src\/cli\//,
  },
  {
    pattern: global(String.raw`console\s*(?:\?\.|[.[])`),
    instead: 'the injected logger { debug, info, warn, error }',
    allowedIn: /^src\/cli\//,
  },
]

const bannedModules: readonly Ban[] = [
  { pattern: /^fs(\/|$)/, instead: 'platform.disk' },
  { pattern: /^(net|tls|dgram|dns)(\/|$)/, instead: 'platform.network' },
  { pattern: /^https?2?$/, instead: 'platform.network', allowedIn: /^src\/http\// },
  { pattern: /^timers(\/|$)/, instead: 'platform.clock.setTimer or platform.clock.defer' },
  { pattern: /^perf_hooks$/, instead: 'platform.clock' },
  { pattern: /^crypto$/, instead: 'platform.random' },
  { pattern: /^(child_process|worker_threads|cluster)$/, instead: 'src/platform' },
  { pattern: /^process$/, instead: 'an option or argument', allowedIn: /^src\/cli\// },
  { pattern: /^console$/, instead: 'the injected logger', allowedIn: /^src\/cli\// },
]

const linesMax = 700
/** A table of cases may be longer than what it tests. */
const testLinesMax = 1000

function parse(path: string, source: string): ts.SourceFile {
  return ts.createSourceFile(path, source, ts.ScriptTarget.ES2023, true, ts.ScriptKind.TS)
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node)
  ts.forEachChild(node, (child) => visit(child, see))
}

function isText(node: ts.Node): boolean {
  return (
    ts.isStringLiteral(node) ||
    ts.isNoSubstitutionTemplateLiteral(node) ||
    ts.isTemplateHead(node) ||
    ts.isTemplateMiddleOrTemplateTail(node) ||
    ts.isRegularExpressionLiteral(node)
  )
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ')
}

/** The source with comments, strings, templates' text and regular expressions blanked out; all else keeps its place. */
export function onlyCode(file: ts.SourceFile): string {
  const source = file.text
  let masked = ''
  let done = 0
  visit(file, (node) => {
    if (!isText(node)) return
    const start = node.getStart(file)
    masked += source.slice(done, start) + blank(source.slice(start, node.end))
    done = node.end
  })
  masked += source.slice(done)
  // Every slash pair that is left outside of strings opens a comment. But quotes in comments never opened a string.
  return masked.replace(/^#!.*|\/\*[\s\S]*?\*\/|\/\/.*/g, blank)
}

function lineAt(source: string, offset: number): number {
  let line = 1
  for (let i = source.indexOf('\n'); i !== -1 && i < offset; i = source.indexOf('\n', i + 1)) line++
  return line
}

function importedModules(file: ts.SourceFile): ts.StringLiteralLike[] {
  const found: ts.StringLiteralLike[] = []
  visit(file, (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      if (ts.isStringLiteralLike(node.moduleSpecifier)) found.push(node.moduleSpecifier)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteralLike(node.argument.literal)) found.push(node.argument.literal)
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression
      const loads =
        callee.kind === ts.SyntaxKind.ImportKeyword || /(^|\.)(require|getBuiltinModule)$/.test(callee.getText(file))
      const [name] = node.arguments
      if (loads && name !== undefined && ts.isStringLiteralLike(name)) found.push(name)
    }
  })
  return found
}

/** Time, chance, files and sockets come through the platform; what is printed goes through a logger. */
export function bannedUses(path: string, source: string): Finding[] {
  if (nodePlatform.test(path)) return []
  const file = parse(path, source)
  const code = onlyCode(file)
  const findings: Finding[] = []
  for (const ban of bannedNames) {
    if (ban.allowedIn?.test(path)) continue
    for (const match of code.matchAll(ban.pattern)) {
      const name = match[0].replace(/\s*(\?\.|[.[(])$/, '')
      findings.push({ line: lineAt(source, match.index), text: `${name} is banned here: use ${ban.instead}` })
    }
  }
  for (const module of importedModules(file)) {
    const ban = bannedModules.find((candidate) => candidate.pattern.test(module.text.replace(/^node:/, '')))
    if (ban === undefined || ban.allowedIn?.test(path)) continue
    const line = lineAt(source, module.getStart(file))
    findings.push({ line, text: `${module.text} is banned here: use ${ban.instead}` })
  }
  return findings.sort((a, b) => a.line - b.line)
}

/** A source file opens with what it is, fits a reader's patience, and keeps to named exports and erasable syntax. */
export function shape(path: string, source: string): Finding[] {
  const findings: Finding[] = []
  const at = (offset: number, text: string): void => void findings.push({ line: lineAt(source, offset), text })
  const opening = source.replace(/^#!.*\n/, '')
  if (!/^\s*(\/\/+\s*\S|\/\*[\s*]*[^\s*/])/.test(opening)) at(0, 'open the file with a comment that says what it is')
  const lines = source.split('\n').length - (source.endsWith('\n') ? 1 : 0)
  const most = path.endsWith('.test.ts') ? testLinesMax : linesMax
  if (lines > most) at(0, `${lines} lines, more than ${most}: split the file`)

  const file = parse(path, source)
  visit(file, (node) => {
    const start = node.getStart(file)
    const modifiers = ts.canHaveModifiers(node) ? (ts.getModifiers(node) ?? []) : []
    const isDefault = modifiers.some((modifier) => modifier.kind === ts.SyntaxKind.DefaultKeyword)
    const isDefaultName = ts.isExportSpecifier(node) && node.name.text === 'default'
    if (ts.isExportAssignment(node) || isDefault || isDefaultName) at(start, 'default export: export by name')
    if (ts.isEnumDeclaration(node)) at(start, 'enum: use a union of literals or a frozen object')
    const isNamespace = ts.isModuleDeclaration(node) && ts.isIdentifier(node.name) && node.name.text !== 'global'
    if (isNamespace) at(start, 'namespace: use a module')
  })
  return findings
}

export function unfinished(source: string): Finding[] {
  return [...source.matchAll(/\b(TODO|FIXME)\b/g)].map((match) => ({
    line: lineAt(source, match.index),
    text: `${match[0]}: finish it, or write down what is so in a sentence`,
  }))
}

/** Bytes that an editor does not show: control characters, carriage returns, and what reorders text (Trojan Source). */
export function invisible(source: string): Finding[] {
  const pattern =
    // These are what it looks for.
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060\u2066-\u2069\ufeff]/g
  return [...source.matchAll(pattern)].map((match) => {
    const code = match[0].charCodeAt(0).toString(16).padStart(4, '0')
    return {
      line: lineAt(source, match.index),
      text: `control character U+${code.toUpperCase()}: write it as an escape`,
    }
  })
}

/** `.only` hides the other tests, `.skip` hides this one; `context.skip(reason)`, `skipIf` and `runIf` say why. */
export function hiddenTests(path: string, source: string): Finding[] {
  const code = onlyCode(parse(path, source))
  const pattern =
    /(?<![\w$.])(?:describe|suite|it|test|bench)(?:\s*\.\s*\w+)*?\s*\.\s*(only|skip|todo)\b|(?<![\w$.])x(?:it|describe)\b/g
  return [...code.matchAll(pattern)].map((match) => ({
    line: lineAt(source, match.index),
    text: `${match[0]} hides tests: remove it, or use context.skip(reason)`,
  }))
}
