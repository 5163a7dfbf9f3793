// Bent AMQP against the whole of the server and the broker. `npm run fuzz -- --frames N --seed S` does more of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Dice } from './dice.ts'
import { floods } from './floods.ts'
import { makeCase } from './fuzz-case.ts'
import { runCase } from './fuzz-run.ts'
import { fuzz } from './fuzzer.ts'
import { goodHandshake, goodTuning } from './handshake-maker.ts'
import { faultyChannel, knownFaults } from './known-faults.ts'
import { makeMethod } from './method-maker.ts'
import { need, type Script } from './script.ts'
import { describeCase, keepSteps, shrink, stepNames } from './shrink.ts'

let uncaught: unknown = null
const keep = (error: unknown): void => {
  uncaught ??= error
}
beforeAll(() => void process.on('unhandledRejection', keep))
afterAll(() => void process.off('unhandledRejection', keep))

const host = {
  // Processor time, so that it does not count what else the machine does.
  clock: {
    monotonicMs(): number {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1_000
    },
  },
  takeUncaught(): unknown {
    const taken = uncaught
    uncaught = null
    return taken
  },
}

const plan = { seed: 1, isStored: false, pieceBytesMax: 65_536, crumbsMax: 0, messageBytesMax: 16_777_216 }

test('frames of all kinds cost nobody anything but those who send them', { timeout: 240_000 }, async () => {
  const report = await fuzz({ seed: 1, frames: 40_000 }, host)
  const text = report.failures.map(({ seed, violation, kept }) => {
    return `npm run fuzz -- --seed ${seed} --keep ${kept.join(',')}\n${violation}`
  })
  expect(text).toEqual([])
  expect(report.frames).toBeGreaterThanOrEqual(40_000)
  // It reached all the codes it can know of, and not always the same one.
  for (const code of [403, 404, 405, 406, 501, 502, 503, 504, 505, 530, 540]) expect(report.codes.has(code)).toBe(true)
  // Generous, for collecting garbage counts too: `npm run fuzz` insists on 50 ms.
  expect(report.longestMs).toBeLessThan(500)
})

/** A connection with one more channel open, and what is wrong said there. */
function scriptOf(fault: (typeof knownFaults)[number], seed: number): Script {
  const dice = new Dice(seed)
  const opening = [
    ...goodHandshake(dice, goodTuning, false),
    need('open', [makeMethod(dice, faultyChannel, 'channel.open')]),
  ]
  return {
    steps: [...opening, need(fault.what, fault.make(dice, goodTuning.frameMax))],
    expected: fault.expected,
    answers: 'all',
  }
}

describe('what is wrong with a frame ends in its reply code', () => {
  test.each(knownFaults.map((fault) => [fault.what, fault] as const))('%s', async (_, fault) => {
    for (let seed = 0; seed < 4; seed++) {
      const { violation } = await runCase({ ...plan, scripts: [scriptOf(fault, seed)] }, host)
      expect(violation).toBe(null)
    }
  })
})

describe('too much of one thing', () => {
  test.each(floods.map((flood) => [flood.what, flood] as const))('%s', async (_, flood) => {
    const dice = new Dice(7)
    const opening = [...goodHandshake(dice, goodTuning, false), need('open', [makeMethod(dice, 1, 'channel.open')])]
    const script: Script = { steps: [...opening, ...flood.make(dice, 800)], expected: null, answers: 'none' }
    expect((await runCase({ ...plan, scripts: [script] }, host)).violation).toBe(null)
  })
})

describe('the fuzzer itself', () => {
  test('makes the same of the same seed, and plays it the same way', async () => {
    expect(describeCase(makeCase(12))).toBe(describeCase(makeCase(12)))
    const [one, two] = [await runCase(makeCase(12), host), await runCase(makeCase(12), host)]
    expect({ ...one, longestMs: 0 }).toEqual({ ...two, longestMs: 0 })
  })

  test('notices a connection that does not end as it must, and shows no more of it than is needed', async () => {
    const fault = knownFaults.find(({ what }) => what === 'an unknown method') as (typeof knownFaults)[number]
    const script = { ...scriptOf(fault, 1), expected: { closes: 'connection', code: 540 } as const }
    const other = makeCase(12).scripts[0] as Script
    const failing = { ...plan, scripts: [other, script] }
    expect((await runCase(failing, host)).violation).toMatch(/connection.close 540 was expected, and there was .* 503/)
    const kept = await shrink(failing, async (smaller) => (await runCase(smaller, host)).violation !== null)
    expect(kept.length).toBeLessThan(stepNames(failing).length)
    expect((await runCase(keepSteps(failing, kept), host)).violation).not.toBe(null)
  })
})
