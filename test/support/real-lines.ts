// Real text that is on any machine on which these tests run: the TypeScript compiler's own sources, and its messages in
// Chinese, so that there are empty lines, long lines, and characters of more than one byte.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const files = ['zh-cn/diagnosticMessages.generated.json', '_tsc.js', 'lib.dom.d.ts', 'typescript.js']

/** The first `count` lines, each without its line feed; bytes as latin1, so that equal strings are equal bytes. */
export function realLines(count: number): string[] {
  const folder = dirname(createRequire(import.meta.url).resolve('typescript'))
  const lines: string[] = []
  for (const file of files) {
    if (lines.length >= count) break
    for (const line of readFileSync(join(folder, file), 'latin1').split('\n')) lines.push(line)
  }
  if (lines.length < count) throw new Error(`only ${lines.length} lines in ${folder}`)
  return lines.slice(0, count)
}
