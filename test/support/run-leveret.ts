// Subcommands of the real binary that run and end.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { atTheEnd } from './leftovers.ts'
import { commandLine } from './leveret-process.ts'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  /** A file to read standard input from. */
  readonly input?: string
  /** A file to write standard output to. */
  readonly output?: string
}

/** Runs `leveret …` and resolves when it has ended. */
export function runLeveret(args: readonly string[], { input, output }: RunOptions = {}): Promise<Outcome> {
  const from = input === undefined ? 'ignore' : openSync(input, 'r')
  const to = output === undefined ? 'pipe' : openSync(output, 'w')
  const child = spawn(process.execPath, [commandLine, ...args], { stdio: [from, to, 'pipe'] })
  for (const descriptor of [from, to]) if (typeof descriptor === 'number') closeSync(descriptor)
  const forget = atTheEnd(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      forget()
      resolve({ code, stdout, stderr })
    })
  })
}
