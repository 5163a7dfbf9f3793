/**
 * The live screen of the demonstration, as lines: for each pattern what happens in plain words, and the numbers. A pure
 * function of what there is to see and of the columns there are.
 */
import { countOf } from '../plural.ts'
import { workerCount, workMsMax, workMsMin } from './load.ts'
import { type Colour, type Piece, paint, piece, widthOf } from './paint.ts'
import { bar, type Point, sparkline } from './sparkline.ts'
import { type DemoState, type Followed, lengthOf, type Sample } from './state.ts'
import { rateText, timeText } from './units.ts'

const columnsMax = 100
const labelColumns = 11
const valueColumns = 10

/** Each at most `columns` wide, control sequences apart. */
export function screen(state: DemoState, columns: number): string[] {
  const width = Math.min(columns, columnsMax)
  const lines: Piece[][] = [
    ...head(state, width),
    [],
    ...queueLines(state, width),
    [],
    ...callbackLines(state),
    [],
    ...eventLines(state, width),
    [],
    ...callLines(state),
    [],
    ...numberLines(state),
  ]
  return lines.map((pieces) => paint(pieces, width))
}

function head({ where, elapsedMs, durationMs }: DemoState, width: number): Piece[][] {
  const left = [piece('leveret demo', 'bold'), piece(`  ${where}`, 'dim')]
  const right = piece(`${(elapsedMs / 1000).toFixed(1)} of ${durationMs / 1000} s`, 'dim')
  const gap = piece(' '.repeat(Math.max(1, width - widthOf([...left, right]))))
  const { filled, rest } = bar(elapsedMs / durationMs, width)
  return [
    [...left, gap, right],
    [piece(filled, 'cyan'), piece(rest, 'dim')],
  ]
}

function title(name: string, words: string): Piece[] {
  return [piece(name.padEnd(labelColumns), 'bold'), piece(words)]
}

function queueLines(state: DemoState, width: number): Piece[][] {
  const { history, queue, durationMs } = state
  const last = history.at(-1) ?? nothing
  const course = (
    label: string,
    colour: Colour,
    value: string,
    of: (sample: Sample) => number,
    max: number,
  ): Piece[] => {
    const points = history.map((sample): Point => ({ atMs: sample.atMs, value: of(sample) }))
    const line = sparkline(points, durationMs, width - labelColumns - valueColumns, max)
    return [
      piece(`  ${label}`.padEnd(labelColumns), 'dim'),
      piece(line, colour),
      piece(value.padStart(valueColumns), 'bold'),
    ]
  }
  const highest = (of: (sample: Sample) => number): number => Math.max(1, ...history.map(of))
  // One scale for both, so that one sees who is faster.
  const fastest = Math.max(highest(sendRate), highest(processingRate))
  return [
    title('queue', `${workerCount} workers resize photos, ${workMsMin} to ${workMsMax} ms each`),
    [piece(' '.repeat(labelColumns)), ...phaseWords(state)],
    course('length', 'yellow', String(lengthOf(last)), lengthOf, highest(lengthOf)),
    course('send', 'cyan', rateText(last.sendRate), sendRate, fastest),
    course('process', 'green', rateText(last.processingRate), processingRate, fastest),
    course('wait', 'yellow', timeText(last.waitMs), waitOf, highest(waitOf)),
    [
      piece(' '.repeat(labelColumns)),
      piece(`${queue.processed} done`, 'green'),
      piece(' · '),
      piece(`${queue.retried} tried again`, 'yellow'),
      piece(' · '),
      piece(countOf(queue.deadLettered, 'dead letter'), 'red'),
    ],
  ]
}

const nothing: Sample = {
  atMs: 0,
  ready: 0,
  unacked: 0,
  delayed: 0,
  sendRate: 0,
  receiveRate: 0,
  processingRate: 0,
  waitMs: 0,
}
const sendRate = (sample: Sample): number => sample.sendRate
const processingRate = (sample: Sample): number => sample.processingRate
const waitOf = (sample: Sample): number => sample.waitMs

function phaseWords({ phase, history }: DemoState): Piece[] {
  const isLine = isLong(history.at(-1) ?? nothing)
  switch (phase.name) {
    case 'calm':
      return [isLine ? piece('calm: what was left is done first', 'yellow') : piece('calm: nobody waits', 'green')]
    case 'rush':
      return [piece('a rush: more comes than they manage', 'red')]
    case 'calm again':
      return [piece(isLine ? 'calm again: the line shrinks' : 'calm again', isLine ? 'yellow' : 'green')]
    case 'nothing more':
      return [piece('nothing more is sent: the rest is done', 'dim')]
  }
}

/** More than those that wait for a worker to be free for a moment. */
function isLong({ ready }: Sample): boolean {
  return ready > 2 * workerCount
}

function callbackLines({ callbacks }: DemoState): Piece[][] {
  const { processed, deadLettered, followed } = callbacks
  const words = `the sender is told how each ended: ${processed + deadLettered}`
  return [title('callbacks', words), followed === null ? [] : followedLine(followed)]
}

/** The five steps of one message. */
function followedLine({ name, storedMs, deliveredMs, progress, endedMs, end }: Followed): Piece[] {
  const arrow = piece(' › ', 'dim')
  const line = [piece(`  ${name}`, 'cyan')]
  if (storedMs !== null) line.push(arrow, piece('stored'))
  if (deliveredMs !== null) line.push(arrow, piece(`delivered ${timeText(deliveredMs)}`))
  if (end === null || endedMs === null) {
    if (progress > 0) line.push(arrow, piece(`${Math.round(progress * 100)} %`))
    return line
  }
  line.push(
    arrow,
    piece(`${end.isGood ? 'processed' : 'dead-lettered'} ${timeText(endedMs)}`, end.isGood ? 'green' : 'red'),
  )
  line.push(piece(`: ${end.text}`))
  return line
}

function eventLines({ events }: DemoState, width: number): Piece[][] {
  const nameColumns = Math.max(0, ...events.listeners.map(({ name }) => name.length))
  const patternColumns = Math.max(0, ...events.listeners.map(({ pattern }) => pattern.length))
  return [
    title('events', `told to everybody who listens: ${events.emitted}`),
    ...events.listeners.map(({ name, pattern, heard, last }) => {
      const start = [
        piece(`  ${name.padEnd(nameColumns)}  `, 'cyan'),
        piece(`${pattern.padEnd(patternColumns)}  `, 'dim'),
        piece(`${heard} heard`.padEnd(12)),
      ]
      return width < 70 || last === '' ? start : [...start, piece(last, 'dim')]
    }),
  ]
}

function callLines({ calls }: DemoState): Piece[][] {
  const { answered, totalMs, last } = calls
  const words =
    answered === 0 ? 'a question, and its answer' : `${answered} answered in ${timeText(totalMs / answered)} on average`
  if (last === null) return [title('calls', words), []]
  const { question, answer, ms } = last
  return [
    title('calls', words),
    [piece(`  ${question}`, 'cyan'), piece(' › ', 'dim'), piece(answer, 'green'), piece(` ${timeText(ms)}`, 'dim')],
  ]
}

/** What the rates foretell: a line of L_q is worked off at the rate of processing. */
function numberLines({ history }: DemoState): Piece[][] {
  const last = history.at(-1) ?? nothing
  const { ready, processingRate: rate } = last
  if (rate <= 0 || !isLong(last)) return [title('numbers', 'the next one waits for nobody')]
  const words = `${ready} in line ÷ ${rateText(rate)}: the next one waits ${timeText((ready / rate) * 1000)}`
  return [title('numbers', words)]
}
