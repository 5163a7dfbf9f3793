/** Who looks at the demonstration: a person at a terminal, a person who reads a log, or a program. */
import { screen } from './screen.ts'
import { type DemoState, lengthOf } from './state.ts'
import { type Screen, Terminal } from './terminal.ts'
import { rateText, timeText } from './units.ts'

export interface View {
  show(state: DemoState): void
  /** Leaves the output as it was found. */
  close(): void
}

/** A picture, ten times a second. */
export class LiveView implements View {
  private readonly terminal: Terminal

  constructor(output: Screen) {
    this.terminal = new Terminal(output)
  }

  show(state: DemoState): void {
    this.terminal.open()
    this.terminal.draw(screen(state, this.terminal.columns))
  }

  close(): void {
    this.terminal.close()
  }
}

/** A line a second, without control sequences. */
export class LineView implements View {
  private readonly output: Screen
  private seconds = 0

  constructor(output: Screen) {
    this.output = output
  }

  show(state: DemoState): void {
    const seconds = Math.floor(state.elapsedMs / 1000)
    if (seconds <= this.seconds) return
    this.seconds = seconds
    this.output.write(`${progressLine(seconds, state)}\n`)
  }

  close(): void {}
}

function progressLine(seconds: number, { phase, history, calls, events }: DemoState): string {
  const last = history.at(-1)
  const length = last === undefined ? 0 : lengthOf(last)
  const parts = [
    `${seconds} s`.padStart(5),
    phase.name.padEnd(12),
    `length ${length}`.padEnd(10),
    `send ${rateText(last?.sendRate ?? 0)}`.padEnd(10),
    `process ${rateText(last?.processingRate ?? 0)}`.padEnd(13),
    `wait ${timeText(last?.waitMs ?? 0)}`.padEnd(11),
    `events ${events.emitted}`,
    `calls ${calls.answered}`,
  ]
  return parts.join(' ')
}

/** Nothing. */
export class NoView implements View {
  show(): void {}

  close(): void {}
}
