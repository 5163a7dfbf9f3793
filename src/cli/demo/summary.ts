/** What was shown, in the end: the figures, the law that they follow, and what to try next. */
import { countOf } from '../plural.ts'
import { workerCount } from './load.ts'
import { type DemoState, lengthOf, type Sample } from './state.ts'
import { sizeOr } from './terminal.ts'
import { rateText, timeText } from './units.ts'

/** As `--json` prints it; times in milliseconds, rates in messages per second. */
export interface DemoSummary {
  readonly where: string
  readonly seconds: number
  /** Stopped before its time. */
  readonly stopped: boolean
  readonly queue: {
    readonly sent: number
    readonly processed: number
    readonly retried: number
    readonly deadLettered: number
    /** Found in the queue at the start. */
    readonly found: number
    /** Not done at the end. */
    readonly left: number
    readonly longest: number
  }
  readonly callbacks: { readonly processed: number; readonly deadLettered: number }
  readonly events: {
    readonly emitted: number
    readonly listeners: readonly { readonly name: string; readonly pattern: string; readonly heard: number }[]
  }
  readonly calls: { readonly answered: number; readonly meanMs: number }
  readonly numbers: {
    /** λ: what was sent, by the time. */
    readonly arrivalRate: number
    /** W: from the send to the end, on average. */
    readonly timeInSystemMs: number
    /** λ W. */
    readonly lengthByLittle: number
    /** L: how many there were, on average over the time. */
    readonly lengthCounted: number
    readonly sendRateMax: number
    readonly processingRateMax: number
  }
}

export function summarize(state: DemoState): DemoSummary {
  const { where, durationMs, elapsedMs, queue, history, callbacks, events, calls } = state
  const last = history.at(-1)
  const told = callbacks.processed + callbacks.deadLettered
  const arrivalRate = elapsedMs > 0 ? (queue.sent * 1000) / elapsedMs : 0
  const timeInSystemMs = told > 0 ? callbacks.totalMs / told : 0
  const highest = (of: (sample: Sample) => number): number => Math.max(0, ...history.map(of))
  const { sent, processed, retried, deadLettered, found } = queue
  return {
    where,
    seconds: round(elapsedMs / 1000, 1),
    stopped: elapsedMs < durationMs,
    queue: {
      sent,
      processed,
      retried,
      deadLettered,
      found,
      left: last === undefined ? 0 : lengthOf(last),
      longest: highest(lengthOf),
    },
    callbacks: { processed: callbacks.processed, deadLettered: callbacks.deadLettered },
    events: {
      emitted: events.emitted,
      listeners: events.listeners.map(({ name, pattern, heard }) => ({ name, pattern, heard })),
    },
    calls: { answered: calls.answered, meanMs: round(calls.answered > 0 ? calls.totalMs / calls.answered : 0, 1) },
    numbers: {
      arrivalRate: round(arrivalRate, 1),
      timeInSystemMs: round(timeInSystemMs, 1),
      lengthByLittle: round((arrivalRate * timeInSystemMs) / 1000, 1),
      lengthCounted: round(meanLength(history), 1),
      sendRateMax: round(
        highest(({ sendRate }) => sendRate),
        1,
      ),
      processingRateMax: round(
        highest(({ processingRate }) => processingRate),
        1,
      ),
    },
  }
}

/** The mean over time: each look holds until the next one. */
function meanLength(history: readonly Sample[]): number {
  const [first] = history
  const last = history.at(-1)
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0
  let area = 0
  for (let at = 1; at < history.length; at++) {
    const before = history[at - 1] as Sample
    area += lengthOf(before) * ((history[at] as Sample).atMs - before.atMs)
  }
  return area / (last.atMs - first.atMs)
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** The summary for people, in lines of at most so many columns as the output says that it has. */
export function summaryLines(summary: DemoSummary, said: number | undefined): string[] {
  const columns = sizeOr(80, said)
  const { where, seconds, stopped, queue, callbacks, events, calls, numbers } = summary
  const { listeners } = events
  const entry = (name: string, texts: readonly string[]): string[] => {
    const lines = texts.flatMap((text) => wrap(text, columns - indent.length))
    return lines.map((line, at) => (at === 0 ? `  ${name}`.padEnd(indent.length) : indent) + line)
  }
  return [
    `${stopped ? 'Stopped after' : 'What you saw, in'} ${seconds} s on ${where}`,
    '',
    ...entry('queue', [
      ...(queue.found === 0 ? [] : [`${countOf(queue.found, 'message')} from the last time came first`]),
      `${queue.sent} sent, ${queue.processed} processed by ${workerCount} workers, ${countOf(queue.deadLettered, 'dead letter')}`,
      `${queue.retried} failed attempts were tried again; the longest line was ${queue.longest}`,
      ...(queue.left === 0 ? [] : [leftWords(summary)]),
    ]),
    ...entry('callbacks', [
      `the sender was told: ${callbacks.processed} processed, ${countOf(callbacks.deadLettered, 'dead letter')}`,
    ]),
    ...entry('events', [
      `${events.emitted} emitted`,
      ...listeners.map(({ name, pattern, heard }) => `${name} heard ${heard} (${pattern})`),
    ]),
    ...entry('calls', [`${calls.answered} answered, in ${timeText(calls.meanMs)} on average`]),
    ...entry('numbers', [
      `at most ${rateText(numbers.sendRateMax)} sent, and ${rateText(numbers.processingRateMax)} processed`,
      ...(isWhole(summary) ? [littleWords(summary)] : []),
    ]),
    '',
    'Try next',
    '',
    ...hints(summary).flatMap((hint) => hintLines(hint, columns)),
  ]
}

const indent = ' '.repeat(13)

/** Between words, where there is room for a word. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}

/** A command is copied as a whole, so it is never broken. */
function hintLines([command, words]: readonly [string, string], columns: number): string[] {
  const line = `  ${command.padEnd(36)}  ${words}`
  return line.length <= columns ? [line] : [`  ${command}`, ...wrap(words, columns - 6).map((text) => `      ${text}`)]
}

/** The law is about messages that came and went within the time. */
function isWhole({ stopped, queue }: DemoSummary): boolean {
  return !stopped && queue.found === 0 && queue.left === 0
}

/** J. D. C. Little, A Proof for the Queuing Formula: L = λW, Operations Research 9(3), 1961. */
function littleWords({ numbers }: DemoSummary): string {
  const { arrivalRate, timeInSystemMs, lengthByLittle, lengthCounted } = numbers
  const product = `${rateText(arrivalRate)} × ${timeText(timeInSystemMs)} = ${lengthByLittle}`
  return `Little's law, L = λ W: ${product} in the system on average; counted: ${lengthCounted}`
}

function leftWords({ where, queue }: DemoSummary): string {
  return where === 'memory:'
    ? `${queue.left} not done, and gone with the memory`
    : `${queue.left} not done: they are stored, so start it again`
}

function hints({ where, queue }: DemoSummary): (readonly [string, string])[] {
  if (where === 'memory:') {
    return [
      ['leveret demo --data ./demo', 'the same on disk, also stopped halfway'],
      ['leveret serve', 'a broker for other processes'],
      ['echo hello | leveret send greetings', 'a message to it'],
      ['leveret receive greetings', 'and out of it'],
    ]
  }
  return [
    [`leveret queues --at ${where}`, 'what is in the folder'],
    ...(queue.deadLettered === 0
      ? []
      : [[`leveret inspect ${where} --queue demo.photos.dead`, 'the dead letters'] as const]),
    [`leveret verify ${where}`, 'every byte of it'],
    [`leveret serve --data ${where}`, 'for other processes'],
  ]
}
