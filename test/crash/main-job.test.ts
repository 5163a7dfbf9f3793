// The main job on real input: a large file goes line by line through `leveret send` into a served broker, which is
// killed twice on the way; `leveret receive` writes it out again. Nothing is lost, nothing out of order, and twice comes
// only what was sent twice.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { realLines } from '../support/real-lines.ts'
import { type Outcome, runLeveret } from '../support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

const lineCount = 120_000
const queue = 'lines'

let folder: string
let leveret: LeveretProcess

beforeAll(async () => {
  folder = temporaryFolder('main-job')
  leveret = await LeveretProcess.start()
})

afterAll(async () => {
  await leveret?.dispose()
  removeFolder(folder)
})

/** Resolves when the queue holds so many messages; each answer of the broker is followed by the next question. */
async function untilQueued(count: number, sending: Promise<Outcome>): Promise<void> {
  let early: Outcome | null = null
  void sending.then((outcome) => {
    early = outcome
  })
  const model = await connect(leveret.url)
  model.on('error', () => {})
  const channel = await model.createChannel()
  await channel.assertQueue(queue, { durable: true })
  while ((await channel.checkQueue(queue)).messageCount < count) {
    if (early !== null) throw new Error(`leveret send ended early: ${JSON.stringify(early)}`)
  }
  await model.close()
}

async function queued(): Promise<number> {
  const listed = await runLeveret(['queues', queue, '--at', leveret.url, '--json'])
  expect(listed.stderr).toBe('')
  const parsed = JSON.parse(listed.stdout) as { ready: number }[] | { ready: number }
  return (Array.isArray(parsed) ? parsed[0]! : parsed).ready
}

it('takes 120,000 real lines through two kills without losing or mixing up one', async () => {
  const lines = realLines(lineCount)
  const input = join(folder, 'input.txt')
  writeFileSync(input, lines.map((line) => `${line}\n`).join(''), 'latin1')

  const expected: string[] = []
  let skip = 0
  for (const [round, killAt] of [lineCount / 3, (lineCount * 2) / 3].entries()) {
    const sending = runLeveret(['send', queue, '--to', leveret.url, '--skip', String(skip)], { input })
    await untilQueued(killAt, sending)
    await leveret.kill()
    const sent = await sending
    expect(sent.code, sent.stderr).toBe(1)
    const confirmed = Number(/(\d+) lines are stored for certain/.exec(sent.stderr)?.[1])
    expect(confirmed).toBeGreaterThanOrEqual(skip)
    await leveret.start()

    // What the broker has beyond the confirmed lines was stored, but it had no time to say so: these come twice.
    const stored = (await queued()) - expected.length
    expect(skip + stored).toBeGreaterThanOrEqual(confirmed)
    expect(skip + stored).toBeLessThan(lineCount)
    expected.push(...lines.slice(skip, skip + stored))
    console.log(`kill ${round + 1}: ${confirmed} lines confirmed, ${skip + stored} stored`)
    skip = confirmed
  }
  const rest = await runLeveret(['send', queue, '--to', leveret.url, '--skip', String(skip)], { input })
  expect(rest).toMatchObject({ code: 0, stderr: '' })
  expected.push(...lines.slice(skip))
  expect(await queued()).toBe(expected.length)

  const output = join(folder, 'output.txt')
  const args = ['receive', queue, '--from', leveret.url, '--count', String(expected.length)]
  expect(await runLeveret(args, { output })).toMatchObject({ code: 0, stderr: '' })
  const received = readFileSync(output, 'latin1').split('\n')
  expect(received.pop()).toBe('')
  expect(received.length).toBe(expected.length)
  // Not the arrays as a whole: the report of a difference would have 120,000 lines.
  const difference = received.findIndex((line, index) => line !== expected[index])
  expect(difference, `line ${difference} is ${received[difference]} and not ${expected[difference]}`).toBe(-1)
  expect(await queued()).toBe(0)
  console.log(`${received.length} lines received, ${received.length - lineCount} of them twice`)
}, 90_000)
