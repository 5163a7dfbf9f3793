// One place in the ledger that a process has: it is started, killed, and started again at once.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atTheEnd } from '../support/leftovers.ts'

/** A line that a process says. */
export interface Line {
  readonly type: string
  readonly [name: string]: unknown
}

export class Program {
  readonly name: string
  /** What went wrong in the process itself. */
  readonly errors: string[] = []
  /** How many processes there were. */
  lives = 0
  private readonly source: string
  private readonly argsOf: () => Record<string, unknown>
  private readonly hear: (line: Line, life: number) => void
  private child: ChildProcess | null = null
  private ended: Promise<void> = Promise.resolve()
  /** What it was told to end with; null: nothing. */
  private told: NodeJS.Signals | null = null

  /** `source` is a file beside this one; `argsOf` is asked whenever it is started. */
  constructor(
    name: string,
    source: string,
    argsOf: () => Record<string, unknown>,
    hear: (line: Line, life: number) => void,
  ) {
    this.name = name
    this.source = fileURLToPath(new URL(source, import.meta.url))
    this.argsOf = argsOf
    this.hear = hear
  }

  start(): void {
    const life = ++this.lives
    const child = spawn(process.execPath, [this.source, JSON.stringify(this.argsOf())], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const forget = atTheEnd(() => child.kill('SIGKILL'))
    this.child = child
    this.told = null
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const lines = createInterface({ input: child.stdout })
    lines.on('line', (text) => {
      const line = readLine(text)
      if (line.type === 'wrong') this.errors.push(`${this.name}: ${String(line['text'])}`)
      else this.hear(line, life)
    })
    // What it has said before its end is heard.
    const heard = new Promise((resolve) => lines.on('close', resolve))
    this.ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        forget()
        // One that has just begun knows no SIGTERM yet.
        const isWrong = said !== '' || this.told === null || (code !== 0 && signal !== this.told)
        if (isWrong) this.errors.push(`${this.name} ended with ${String(code ?? signal)}: ${said}`)
        void heard.then(() => resolve())
      })
    })
  }

  /** Resolves when it is gone, and all that it said is heard. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.told = signal
    this.child?.kill(signal)
    await this.ended
  }
}

/** The last line of a process that was killed may be half a line. */
function readLine(text: string): Line {
  try {
    return JSON.parse(text) as Line
  } catch {
    return { type: 'torn' }
  }
}
