/** From a seed to all that a case is: what the server allows, how the network cuts, and what each hostile client does. */
import { anyStep, makeTopology, politeStep } from './conversation.ts'
import { Dice } from './dice.ts'
import { floods } from './floods.ts'
import type { WorldPlan } from './fuzz-world.ts'
import { bentHandshake, goodHandshake, goodTuning, type Tuning } from './handshake-maker.ts'
import { faultyChannel, knownFaults } from './known-faults.ts'
import { makeMethod } from './method-maker.ts'
import { need, type Script, type Step, send } from './script.ts'

export interface FuzzCase extends WorldPlan {
  readonly scripts: readonly Script[]
}

/** One case in so many has a folder. */
const storedEvery = 10
const floodFramesMax = 400

export function makeCase(seed: number): FuzzCase {
  const dice = new Dice(seed)
  const scripts = Array.from({ length: dice.between(1, 2) }, () => makeScript(dice))
  const isFlooded = scripts.some(({ steps }) => steps.some((step) => step.type === 'send' && step.frames > 150))
  return {
    seed,
    isStored: seed % storedEvery === 0,
    pieceBytesMax: isFlooded ? 65_536 : dice.pick([64, 1000, 4096, 65_536, 65_536]),
    crumbsMax: dice.pick([0, 0, 64, 400, 2000]),
    messageBytesMax: dice.pick([4_999, 5_000, 16_777_216]),
    scripts,
  }
}

function makeScript(dice: Dice): Script {
  const which = dice.next()
  const shared = { answers: dice.pick(['all', 'all', 'connection.close', 'none'] as const) }
  if (which < 0.12) {
    const { steps, expected } = bentHandshake(dice)
    return { ...shared, steps: [...steps, ...behind(dice)], expected }
  }
  if (which < 0.4) return { ...shared, ...faulty(dice) }
  if (which < 0.47) return { ...shared, ...flood(dice) }
  return { ...shared, steps: [...opening(dice, makeTuning(dice)), ...chaos(dice)], expected: null }
}

/** Said behind what ended it: nobody must answer, and nothing must come of it. */
function behind(dice: Dice): Step[] {
  dice.bend = 0.02
  const steps = Array.from({ length: dice.below(4) }, () => anyStep(dice))
  dice.bend = 0
  return steps.filter((step) => step.type !== 'deaf')
}

function makeTuning(dice: Dice): Tuning {
  return {
    channelMax: dice.pick([2, 3, 2047, 2047]),
    frameMax: dice.pick([4096, 8192, 131_072, 131_072]),
    heartbeat: dice.pick([0, 0, 1, 60, 65_535]),
  }
}

function opening(dice: Dice, tuning: Tuning): Step[] {
  const frames = [1, 2].map((channel) => makeMethod(dice, channel, 'channel.open'))
  return [...goodHandshake(dice, tuning, dice.chance(0.3)), need('open channels', frames)]
}

function faulty(dice: Dice): Pick<Script, 'steps' | 'expected'> {
  const fault = dice.pick(knownFaults)
  const steps = opening(dice, goodTuning)
  if (dice.chance(0.5)) {
    steps.push(send('topology', makeTopology(dice, 1)))
    for (let count = dice.below(12); count > 0; count--) steps.push(politeStep(dice, dice.pick([1, 2])))
  }
  steps.push(need('open another channel', [makeMethod(dice, faultyChannel, 'channel.open')]))
  steps.push(need(fault.what, fault.make(dice, goodTuning.frameMax)))
  const isOver = fault.expected.closes !== 'channel' && fault.isLate !== true
  return { steps: [...steps, ...(isOver ? behind(dice) : [])], expected: fault.expected }
}

function flood(dice: Dice): Pick<Script, 'steps' | 'expected'> {
  const chosen = dice.pick(floods)
  const frames = chosen.make(dice, dice.pick([20, 100, floodFramesMax]))
  return { steps: [...opening(dice, goodTuning), ...frames, { type: 'wait', ms: 50 }], expected: null }
}

function chaos(dice: Dice): Step[] {
  const steps = dice.chance(0.7) ? [send('topology', makeTopology(dice, 1))] : []
  dice.bend = dice.pick([0, 0, 0, 0.002, 0.01, 0.05])
  for (let count = dice.between(3, 40); count > 0; count--) steps.push(anyStep(dice))
  dice.bend = 0
  return steps
}
