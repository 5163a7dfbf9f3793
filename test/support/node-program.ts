// A program in a process of its own that uses the built package as a user would, and talks to the test in lines of JSON.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { atTheEnd } from './leftovers.ts'

const packageIndex = new URL('../../dist/index.js', import.meta.url).href

export class NodeProgram {
  private readonly child: ChildProcess
  private readonly exited: Promise<number | null>
  private readonly said: unknown[] = []
  private taken = 0
  private errorText = ''
  private hasEnded = false
  private wake: () => void = () => {}

  /** The source is a module in which `leveret`, `args` and `say(value)` are there already. */
  constructor(source: string, args: Record<string, unknown> = {}, nodeArguments: readonly string[] = []) {
    const prologue = `
      import * as leveret from ${JSON.stringify(packageIndex)}
      const args = ${JSON.stringify(args)}
      const say = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
    `
    const child = spawn(process.execPath, [...nodeArguments, '--input-type=module', '--eval', prologue + source], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    const forget = atTheEnd(() => child.kill('SIGKILL'))
    child.stderr.on('data', (chunk: Buffer) => {
      this.errorText += chunk.toString()
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.said.push(JSON.parse(line))
      this.wake()
    })
    this.exited = new Promise((resolve) => {
      child.on('close', (code) => {
        forget()
        this.hasEnded = true
        this.wake()
        resolve(code)
      })
    })
  }

  /** The next thing it says; throws with its errors if it ends instead. */
  async next(): Promise<unknown> {
    while (this.taken >= this.said.length) {
      if (this.hasEnded) throw new Error(`the program ended: ${this.errorText}`)
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.said[this.taken++]
  }

  /** Resolves with the status it ends with by itself. */
  async end(): Promise<{ readonly code: number | null; readonly stderr: string }> {
    return { code: await this.exited, stderr: this.errorText }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
