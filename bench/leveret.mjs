// Starts our own broker the way a user does: as a process of its own, from the built command.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './rabbitmq.mjs'

const command = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const readyMs = 30_000

/**
 * @param {{ folder: string, args?: string[] }} options
 * @returns {Promise<import('./rabbitmq.mjs').StartedBroker>}
 */
export async function startLeveret({ folder, args = [] }) {
  if (!fs.existsSync(command)) throw new Error(`${command} is missing: run npm run build`)
  const port = await freePort()
  const startedAt = performance.now()
  const serve = ['serve', '--data', folder, '--amqp-port', String(port), ...args]
  const child = spawn(process.execPath, [command, ...serve], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errorText = ''
  child.stderr.on('data', (data) => {
    errorText = (errorText + data).slice(-4000)
  })
  const ended = new Promise((resolve) => {
    child.on('exit', resolve)
    child.on('error', resolve)
  })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await Promise.race([ended, sleep(10_000, undefined, { ref: false })])
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  }

  const ready = new Promise((resolve, reject) => {
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('leveret ready')) resolve(performance.now())
    })
    void ended.then(() => reject(new Error(`leveret ended before it was ready: ${errorText.trim()}`)))
    setTimeout(() => reject(new Error(`leveret was not ready within ${readyMs} ms`)), readyMs).unref()
  })
  try {
    const readyAt = await ready
    return {
      url: `amqp://guest:guest@127.0.0.1:${port}`,
      pid: /** @type {number} */ (child.pid),
      readyMs: readyAt - startedAt,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
