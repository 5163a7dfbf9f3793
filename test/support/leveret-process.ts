// The real binary as a process of its own: started on a free port with a folder, killed, stopped, started again on the
// same folder and port. Whatever a test does, no process and no folder outlives the test process.
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atTheEnd } from './leftovers.ts'
import { freePort } from './port.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'

/** The built command line. */
export const commandLine: string = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * A copy of the built command line in that folder. What starts it for minutes would otherwise meet half of one build and
 * half of the next, when somebody builds meanwhile.
 */
export function copyCommandLine(folder: string): string {
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return join(folder, 'dist/cli/main.js')
}

// Recovery of a large folder on a busy machine. No test depends on how long it takes, only on that it ends.
const readyTimeoutMs = 60_000
const stopTimeoutMs = 20_000
const stderrBytesKept = 64 * 1024

export interface LeveretOptions {
  /** Default: a new one, removed at the end. */
  readonly folder?: string
  readonly port?: number
  /** More arguments of `leveret serve`. */
  readonly args?: readonly string[]
  /** Arguments of Node itself, before the program. */
  readonly nodeArgs?: readonly string[]
  /** A command to run it under, such as strace with its options. */
  readonly under?: readonly string[]
  /** Another command line than the built one: a copy of it. */
  readonly program?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class LeveretProcess {
  readonly folder: string
  readonly port: number
  private readonly options: LeveretOptions
  private readonly ownsFolder: boolean
  private child: ChildProcess | null = null
  private exited: Promise<Exit> = Promise.resolve({ code: null, signal: null })
  private errorText = ''

  private constructor(options: LeveretOptions, folder: string, port: number) {
    this.options = options
    this.ownsFolder = options.folder === undefined
    this.folder = folder
    this.port = port
  }

  /** Resolves when it accepts connections. */
  static async start(options: LeveretOptions = {}): Promise<LeveretProcess> {
    const leveret = await LeveretProcess.create(options)
    try {
      await leveret.start()
    } catch (error) {
      await leveret.dispose()
      throw error
    }
    return leveret
  }

  /** Only decides on folder and port. */
  static async create(options: LeveretOptions = {}): Promise<LeveretProcess> {
    if (!existsSync(commandLine)) throw new Error(`${commandLine} is missing: run npm run build`)
    return new LeveretProcess(options, options.folder ?? temporaryFolder('serve'), options.port ?? (await freePort()))
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.child?.pid
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`
  }

  /** What it wrote to standard error over all its runs; the end of it. */
  get stderr(): string {
    return this.errorText
  }

  /** Spawns only. Resolves with the process's end. */
  launch(): { readonly ready: Promise<void>; readonly exited: Promise<Exit> } {
    if (this.child !== null) throw new Error('leveret runs already')
    const { args = [], nodeArgs = [], under = [], program = commandLine } = this.options
    const serve = ['serve', '--data', this.folder, '--amqp-port', String(this.port), '--host', '127.0.0.1', ...args]
    const [command = '', ...rest] = [...under, process.execPath, ...nodeArgs, program, ...serve]
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    const forget = atTheEnd(() => child.kill('SIGKILL'))
    this.child = child
    child.stderr.on('data', (chunk: Buffer) => {
      this.errorText = (this.errorText + chunk.toString()).slice(-stderrBytesKept)
    })
    const exited = new Promise<Exit>((resolve) => {
      const end = (exit: Exit): void => {
        forget()
        if (this.child === child) this.child = null
        resolve(exit)
      }
      child.on('exit', (code, signal) => end({ code, signal }))
      child.on('error', (error) => {
        this.errorText += `${error.message}\n`
        end({ code: null, signal: null })
      })
    })
    this.exited = exited
    const ready = new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('leveret ready')) resolve()
      })
      const timer = setTimeout(() => {
        reject(new Error(`leveret was not ready within ${readyTimeoutMs} ms: ${this.errorText}`))
      }, readyTimeoutMs)
      void exited.then(({ code, signal }) => {
        clearTimeout(timer)
        reject(new Error(`leveret ended (${signal ?? code}) before it was ready: ${this.errorText}`))
      })
    })
    // Whoever launches may not care whether it gets ready, because it kills it first.
    ready.catch(() => {})
    return { ready, exited }
  }

  /** Resolves when it accepts connections; the second time on the same folder and port. */
  async start(): Promise<void> {
    await this.launch().ready
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL')
    await this.exited
  }

  /** SIGTERM, as a supervisor would; resolves with how it ended. */
  async stop(): Promise<Exit> {
    const { child } = this
    if (child === null) return this.exited
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.errorText += `(did not stop within ${stopTimeoutMs} ms of SIGTERM: killed)\n`
      child.kill('SIGKILL')
    }, stopTimeoutMs)
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  /** Ends it and removes its folder, if that was made for it. */
  async dispose(): Promise<void> {
    await this.kill()
    if (this.ownsFolder) removeFolder(this.folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}
