// The conformance suite on every engine, with the number of cases that each has passed: `npm run conformance`.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'leveret-conformance-'))
const report = join(folder, 'report.json')
const command = ['vitest', 'run', 'test/conformance', '--reporter=default', '--reporter=json', `--outputFile=${report}`]
const child = spawn('npx', command, { cwd: root, stdio: 'inherit' })
child.on('close', (code) => {
  const counts = code === 0 ? countCases() : []
  rmSync(folder, { recursive: true, force: true })
  for (const line of counts) console.log(line)
  process.exit(code ?? 1)
})

/** The outermost group of a case is the engine that it ran on. */
function countCases() {
  const cases = JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap(({ assertionResults }) => assertionResults)
  const engines = new Set(cases.filter(({ ancestorTitles }) => ancestorTitles.length > 0).map(engineOf))
  return [...engines].map((engine) => {
    const own = cases.filter((one) => engineOf(one) === engine)
    const passed = own.filter(({ status }) => status === 'passed').length
    const left = own.length - passed
    return `${passed} cases passed on ${engine}${left > 0 ? `, ${left} are nothing for it (see test/conformance/engines.ts)` : ''}`
  })
}

function engineOf({ ancestorTitles }) {
  return ancestorTitles[0]?.replace(/^'(.*)'$/, '$1')
}
