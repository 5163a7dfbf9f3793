// Writes the folders that later versions must be able to open: `node scripts/golden.mjs` into test/golden/, those that are not
// there yet; --force writes all of them anew, which is only right before the format they have was in a release. Needs a build.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { force: { type: 'boolean', default: false } } })
const load = (/** @type {string} */ path) => import(new URL(`../dist/testing/${path}.js`, import.meta.url).href)
const { goldenNames, makeGoldenFolder } = await load('golden-folder')
const { witnessFolder } = await load('bit-flips/witness')

for (const name of goldenNames) {
  const target = fileURLToPath(new URL(`../test/golden/${name}`, import.meta.url))
  if (existsSync(target) && !values.force) {
    console.log(`${name} is there and stays`)
    continue
  }
  const folder = await makeGoldenFolder(name)
  const { topology, queues } = await witnessFolder(folder)
  rmSync(target, { recursive: true, force: true })
  let bytes = 0
  for (const [path, content] of folder.files) {
    if (path.endsWith('/LOCK')) continue
    const file = join(target, path.replace(/^\/data/, 'folder'))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    bytes += content.length
  }
  const { ageMs } = folder
  const expected = { ageMs, topology: topology.toSorted(), queues: Object.fromEntries(queues) }
  writeFileSync(join(target, 'expected.json'), `${JSON.stringify(expected, null, 2)}\n`)
  console.log(`${name}: ${folder.files.size} files, ${bytes} bytes`)
}
// What waits for the disk of a broker that nobody closed never comes.
process.exit(0)
