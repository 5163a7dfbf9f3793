// Starts a database server of the benchmark's own: a child process on a free port of 127.0.0.1 that ends with it.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

const readyMs = 60_000

/**
 * @typedef {object} StartedServer
 * @property {string} url
 * @property {number} pid
 * @property {() => Promise<void>} stop
 */

/**
 * @param {{ command: string, args: string[], readyText: string, stopSignal: NodeJS.Signals, identity?: Identity }} options
 *   `readyText` is what it prints when it takes connections
 * @typedef {{ uid: number, gid: number }} Identity  who runs it, if not we
 * @returns {Promise<{ pid: number, stop: () => Promise<void> }>}
 */
export async function startServer({ command, args, readyText, stopSignal, identity }) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...identity })
  let text = ''
  /** @type {() => void} */
  let printed = () => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      text = (text + data).slice(-4000)
      printed()
    })
  }
  let isOver = false
  const ended = new Promise((resolve) => {
    const end = () => {
      isOver = true
      printed()
      resolve(undefined)
    }
    child.on('exit', end)
    child.on('error', end)
  })
  const stop = async () => {
    if (isOver) return
    child.kill(stopSignal)
    await Promise.race([ended, sleep(30_000, undefined, { ref: false })])
    if (!isOver) child.kill('SIGKILL')
  }

  const startedAt = performance.now()
  while (!text.includes(readyText)) {
    if (isOver || performance.now() - startedAt > readyMs) {
      await stop()
      throw new Error(`${command} did not start: ${text.trim()}`)
    }
    const more = new Promise((resolve) => {
      printed = () => resolve(undefined)
    })
    await Promise.race([more, sleep(1_000, undefined, { ref: false })])
  }
  return { pid: /** @type {number} */ (child.pid), stop }
}
