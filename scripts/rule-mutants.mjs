// Whether each rule has a test that would miss it: takes one rule after the other out of a copy of the sources and runs the
// tests, which must fail. `node scripts/rule-mutants.mjs [words of a rule]`; the rules stand in rule-mutants.json. Exits with 1 if
// a rule went and every test passed. Takes a quarter of an hour, so it is no part of `npm test`; that only looks whether
// each rule is still where the list says.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const words = process.argv.slice(2).join(' ')
const mutants = JSON.parse(readFileSync(`${root}scripts/rule-mutants.json`, 'utf8'))
const chosen = mutants.filter(({ rule }) => rule.includes(words))

// The quick ones first: most rules are missed there.
const suites = [['src/broker', 'src/model'], ['src/server', 'src/amqp'], ['test/interop/amqplib.test.ts']]

const copy = mkdtempSync(join(tmpdir(), 'leveret-rules-'))
let survivors = 0
try {
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'vitest.config.ts']) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const mutant of chosen) {
    const file = join(copy, mutant.file)
    const source = readFileSync(file, 'utf8')
    if (source.split(mutant.from).length !== 2) throw new Error(`${mutant.rule}: it is not in ${mutant.file} any more`)
    writeFileSync(
      file,
      source.replace(mutant.from, () => mutant.to),
    )
    const missed = suites.find((suite) => !passes(suite))
    writeFileSync(file, source)
    if (missed === undefined) survivors++
    console.log(
      `${missed === undefined ? 'NOT MISSED' : 'missed'}  ${mutant.rule}${missed === undefined ? '' : `  (${missed[0]})`}`,
    )
  }
} finally {
  rmSync(copy, { recursive: true, force: true })
}
console.log(`${chosen.length} rules, ${survivors} not missed by any test`)
process.exitCode = survivors === 0 ? 0 : 1

/** @param {string[]} suite */
function passes(suite) {
  const run = spawnSync('npx', ['vitest', 'run', '--bail', '1', ...suite], {
    cwd: copy,
    stdio: 'ignore',
    timeout: 300_000,
  })
  return run.status === 0
}
