// Questions to other processes, and what becomes of them when time runs out, callers give up and answerers die: see README.md.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, isCallError, LeveretError } from 'leveret'
import { factor, ponder, reserve } from './contracts.mjs'

const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-request-reply-'))
/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set()
const bus = await connect(`file:${folder}`)
try {
  const { url } = await bus.serve({ amqp: 0 })
  const ada = await startAnswerer('Ada', url)
  const bob = await startAnswerer('Bob', url)

  console.log('Many questions, two who answer')
  const numbers = Array.from({ length: 40 }, (_, index) => 1_000_000_007 * (index + 2))
  const answers = await Promise.all(numbers.map((n) => bus.call(factor, { n }, { timeout: '10s' })))
  const by = (/** @type {string} */ name) => answers.filter((answer) => answer.by === name).length
  console.log(`  ${numbers[10]} = ${answers[10]?.factors.join(' · ')}; Ada answered ${by('Ada')}, Bob ${by('Bob')}`)
  assert.equal(by('Ada') + by('Bob'), 40)

  console.log('An error that belongs to the contract')
  try {
    await bus.call(reserve, { title: 'Middlemarch', copies: 5 })
  } catch (error) {
    if (!isCallError(error, reserve, 'soldOut')) throw error
    console.log(`  only ${error.remote.data.left} are left; so we take ${error.remote.data.left}`)
    console.log(`  ${await bus.call(reserve, { title: 'Middlemarch', copies: error.remote.data.left })}`)
  }

  await ends(bob, 'SIGTERM')
  console.log('  Bob goes home')

  console.log('A deadline')
  console.log(`  the caller has ${await codeOf(bus.call(ponder, { ms: 10_000 }, { timeout: '500ms' }))}`)
  await ada.says(/stops/)

  console.log('A caller who gives up')
  const caller = new AbortController()
  const given = codeOf(bus.call(ponder, { ms: 10_000 }, { signal: caller.signal }))
  await ada.says(/ponders/)
  caller.abort(new LeveretError('E_CANCELLED', 'never mind'))
  console.log(`  the caller has ${await given}`)
  await ada.says(/stops/)

  console.log('An answerer who dies')
  const question = codeOf(bus.call(ponder, { ms: 10_000 }))
  await ada.says(/ponders/)
  await ends(ada, 'SIGKILL')
  console.log('  Ada was killed')
  // The next one is handed the question, sees that somebody had it, and does not do it twice.
  const cid = await startAnswerer('Cid', url)
  console.log(`  the caller has ${await question}: it may have been done, or not`)

  console.log('The same, durable')
  const durable = bus.call(ponder, { ms: 300 }, { durable: true })
  await cid.says(/ponders/)
  await ends(cid, 'SIGKILL')
  console.log('  Cid was killed; the question waits on disk')
  const dot = await startAnswerer('Dot', url)
  const answer = await durable
  assert.equal(answer, '42, says Dot')
  console.log(`  the answer is ${answer}`)
  await ends(dot, 'SIGTERM')
} finally {
  for (const child of children) child.kill('SIGKILL')
  await bus.close()
  rmSync(folder, { recursive: true, force: true })
}

/** How the call failed. */
async function codeOf(/** @type {Promise<string>} */ call) {
  try {
    return await call
  } catch (error) {
    if (error instanceof LeveretError) return error.code
    throw error
  }
}

/** Resolves when it answers. `says` resolves with its next line that matches. */
async function startAnswerer(/** @type {string} */ name, /** @type {string} */ url) {
  const program = fileURLToPath(new URL('answerer.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, name, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const says = async (/** @type {RegExp} */ wanted) => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${name} ended without a word`)
      console.log(`  ${value}`)
      if (wanted.test(value)) return
    }
  }
  await says(/answers/)
  return { child, says }
}

async function ends(
  /** @type {{ child: import('node:child_process').ChildProcess }} */ { child },
  /** @type {'SIGTERM' | 'SIGKILL'} */ by,
) {
  child.kill(by)
  await once(child, 'exit')
  children.delete(child)
}
