// How the harness and its load processes talk: one JSON object per line, over stdin and stdout. Plain text, so that
// each load process can also be run by hand.

import { spawn } from 'node:child_process'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'

/** @typedef {{ type: string, [key: string]: any }} Line */

/** The load process's side: writes one line. @param {Line} line */
export function tell(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** The load process's side. @param {(line: Line) => void} onLine @param {() => void} [onEnd] the harness is gone */
export function listen(onLine, onEnd = () => process.exit(1)) {
  const reader = readline.createInterface({ input: process.stdin })
  reader.on('line', (text) => onLine(JSON.parse(text)))
  reader.on('close', onEnd)
}

/** Reports a failure and ends the process. @param {Error} error */
export function failLoad(error) {
  process.stdout.write(`${JSON.stringify({ type: 'error', message: error.message })}\n`, () => process.exit(1))
}

/** The harness's side: one load process. */
export class LoadProcess {
  /** @type {(line: Line) => void} */
  onLine = () => {}

  /** @type {{ type: string, resolve: (line: Line) => void, reject: (error: Error) => void }[]} */
  #waiting = []
  /** @type {Error | null} */
  #failure = null
  #errorText = ''

  /**
   * @param {string} file beside this one @param {Record<string, string | number>} options become --name value
   * @param {string} [node] the Node that runs it
   */
  constructor(file, options, node = process.execPath) {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
    this.child = spawn(node, [path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    readline.createInterface({ input: this.child.stdout }).on('line', (text) => this.#line(text))
    this.child.stderr.on('data', (data) => {
      this.#errorText += data
    })
    // A write to a process that has just ended is told by its exit.
    this.child.stdin.on('error', () => {})
    this.child.on('close', (code) => {
      this.#fail(new Error(`${file} ended with ${code}${this.#errorText ? `: ${this.#errorText.trim()}` : ''}`))
    })
  }

  /** @param {Line} line */
  send(line) {
    this.child.stdin.write(`${JSON.stringify(line)}\n`)
  }

  /** Waits for a line of this type. @param {string} type @param {number} timeoutMs @returns {Promise<Line>} */
  next(type, timeoutMs) {
    if (this.#failure) return Promise.reject(this.#failure)
    /** @type {Promise<Line>} */
    const line = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(new Error(`no '${type}' within ${timeoutMs} ms`)), timeoutMs)
      this.#waiting.push({
        type,
        resolve: (line) => {
          clearTimeout(timer)
          resolve(line)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
    })
    // Several may wait when one fails; whoever awaits still gets the error.
    line.catch(() => {})
    return line
  }

  end() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
  }

  /** @param {string} text */
  #line(text) {
    /** @type {Line} */
    let line
    try {
      line = JSON.parse(text)
    } catch {
      // A library under test may print; that is for people, not for us.
      process.stderr.write(`${text}\n`)
      return
    }
    if (line.type === 'error') return this.#fail(new Error(line.message))
    this.onLine(line)
    const index = this.#waiting.findIndex((waiting) => waiting.type === line.type)
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.resolve(line)
  }

  /** @param {Error} error */
  #fail(error) {
    this.#failure ??= error
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) one.reject(this.#failure)
  }
}
