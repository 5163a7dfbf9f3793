/** `leveret demo`: queue, events, callbacks and calls at work, and the numbers, in ten seconds. */
import { setLivingTimer } from '../client/keep-alive.ts'
import { connect } from '../index.ts'
import type { Clock } from '../platform/clock.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import { Demonstration, lookEveryMs } from './demo/demonstration.ts'
import { type DemoSummary, summarize, summaryLines } from './demo/summary.ts'
import { LineView, LiveView, NoView, type View } from './demo/views.ts'
import { fail, type Reporting } from './fail.ts'
import { integerOption } from './options.ts'

interface DemoCommand extends Reporting {
  readonly data?: string
  readonly seconds: string
  readonly plain: boolean
}

/** A handler takes a fraction of that. */
const closeTimeoutMs = 2_000

export async function run(options: DemoCommand): Promise<number> {
  const seconds = integerOption('--seconds', options.seconds, 1, 600)
  const platform = new NodePlatform()
  const interruption = new Interruption()
  const bus = await connect(options.data === undefined ? 'memory:' : `file:${options.data}`, {
    onError: (error) => interruption.because(error),
  })
  const view = viewFor(options)
  try {
    const demonstration = await Demonstration.open(platform, bus, options.data ?? 'memory:', seconds * 1000)
    // Whatever ends the process, the terminal is given back.
    process.once('exit', () => view.close())
    demonstration.start()
    while (!demonstration.isOver && !interruption.hasCome) {
      await interruption.within(platform.clock, lookEveryMs)
      view.show(await demonstration.look())
    }
    demonstration.stop()
    const state = demonstration.state()
    view.close()
    if (interruption.error === null) print(summarize(state), options.json)
  } finally {
    view.close()
    await bus.close({ timeout: closeTimeoutMs })
  }
  return interruption.error === null ? 0 : fail(interruption.error, options)
}

/** Pictures are for a person at a terminal that can show them. */
function viewFor({ json, plain }: DemoCommand): View {
  if (json) return new NoView()
  const { env, stdout } = process
  const isSimple = plain || isSet(env['NO_COLOR']) || isSet(env['CI']) || env['TERM'] === 'dumb'
  return stdout.isTTY && !isSimple ? new LiveView(stdout) : new LineView(stdout)
}

function isSet(variable: string | undefined): boolean {
  return variable !== undefined && variable !== '' && variable !== 'false'
}

function print(summary: DemoSummary, json: boolean): void {
  const text = json ? JSON.stringify(summary) : `\n${summaryLines(summary, process.stdout.columns).join('\n')}`
  process.stdout.write(`${text}\n`)
}

/** The first signal ends it in order, the second at once. */
class Interruption {
  hasCome = false
  /** What ended it, if that was no signal. */
  error: Error | null = null
  private wake: () => void = () => {}

  constructor() {
    for (const [signal, status] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
      process.on(signal, () => {
        if (this.hasCome) process.exit(status)
        this.come()
      })
    }
  }

  because(error: Error): void {
    this.error ??= error
    this.come()
  }

  private come(): void {
    this.hasCome = true
    this.wake()
  }

  /** Resolves after so long, or as soon as it comes. */
  within(clock: Clock, ms: number): Promise<void> {
    if (this.hasCome) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = setLivingTimer(clock, ms, resolve)
      this.wake = () => {
        cancel()
        resolve()
      }
    })
  }
}
