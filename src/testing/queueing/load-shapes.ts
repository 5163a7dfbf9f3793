/**
 * Loads of many shapes, simulated, measured and modelled: how far the model is off, and whether it says so.
 *
 * All have a mean service of 20 ms. Those of the first list are as the formulas suppose: arrivals that do not depend on one another, at
 * a steady rate, and times that two moments describe well. Those of the second are not.
 */
import { type FlowWindow, flowBetween } from '../../flow/flow-window.ts'
import { type Model, modelOf } from '../../flow/model.ts'
import { Prng } from '../../lib/prng.ts'
import {
  batches,
  changing,
  constant,
  erlang,
  exponential,
  hyperexponential,
  logNormal,
  switched,
  type Times,
  uniform,
} from './distributions.ts'
import { FlowRecorder } from './flow-recorder.ts'
import { type SimulatedQueue, simulateQueue } from './queue-simulation.ts'

export interface LoadShape {
  /** In Kendall's notation, arrivals / service / servers. */
  readonly name: string
  /** ρ. */
  readonly load: number
  readonly servers: number
  readonly messages: number
  readonly arrivals: Shape
  readonly service: Shape
}

/** Times of that mean, in seconds. */
type Shape = (prng: Prng, mean: number) => Times

export interface ShapeResult {
  readonly shape: LoadShape
  /** What really happened. */
  readonly truth: SimulatedQueue
  readonly window: FlowWindow
  readonly model: Model
  /** How far the expected wait is from what was waited, as a share of that; NaN: none is expected, or one that never ends. */
  readonly error: number
}

const serviceSeconds = 0.02

/** With that share of the messages; all of them by default. */
export function runShape(shape: LoadShape, seed: number, share = 1): ShapeResult {
  const { servers, load } = shape
  const messages = Math.ceil(shape.messages * share)
  const [arrivalPrng, servicePrng] = [new Prng(seed), new Prng(seed + 2 ** 31)]
  const gaps = shape.arrivals(arrivalPrng, serviceSeconds / (servers * load))
  const services = shape.service(servicePrng, serviceSeconds)
  const recorder = new FlowRecorder()
  const warmUp = Math.ceil(messages / 10)
  const truth = simulateQueue({ gaps, services, servers, messages, warmUp }, recorder)
  const window = flowBetween(null, recorder.flow(truth, servers))
  const state = {
    isGuessed: false,
    serversChanged: false,
    isPaused: false,
    isKeyed: false,
    isSplit: false,
    waiting: 0,
    lengthMax: null,
  }
  const model = modelOf(window, { ...state, servers })
  const { value } = model.expectedWaitSeconds
  return { shape, truth, window, model, error: typeof value === 'number' ? value / truth.waitSeconds - 1 : Number.NaN }
}

const m: Shape = exponential
const d: Shape = (_prng, mean) => constant(mean)
const e4: Shape = (prng, mean) => erlang(prng, mean, 4)
const e2: Shape = (prng, mean) => erlang(prng, mean, 2)
const u: Shape = uniform
const h2: Shape = (prng, mean) => hyperexponential(prng, mean, 4)
const h1: Shape = (prng, mean) => hyperexponential(prng, mean, 1.5)
const ln: Shape = (prng, mean) => logNormal(prng, mean, 2)

/** The nearer to full load, the longer it takes until what was measured is what is to be expected. */
function messagesFor(load: number, servers: number): number {
  return Math.round(Math.min(1_500_000, Math.max(150_000, 30_000 / (1 - load) ** 2, servers * 20_000)))
}

function shape(name: string, arrivals: Shape, service: Shape, servers: number, load: number): LoadShape {
  return { name: `${name}/${servers}`, arrivals, service, servers, load, messages: messagesFor(load, servers) }
}

function batchesOf(size: number): Shape {
  return (prng, mean) => batches(exponential(prng, mean * size), size)
}

/** Loads as the formulas suppose them. */
export const supposedShapes: readonly LoadShape[] = [
  ...[0.3, 0.5, 0.7, 0.8, 0.9].map((load) => shape('M/M', m, m, 1, load)),
  ...[0.3, 0.5, 0.7, 0.9].map((load) => shape('M/D', m, d, 1, load)),
  ...[0.5, 0.8].map((load) => shape('M/E4', m, e4, 1, load)),
  ...[0.5, 0.8].map((load) => shape('M/U', m, u, 1, load)),
  ...[0.3, 0.5, 0.8].map((load) => shape('M/H2', m, h2, 1, load)),
  ...[0.5, 0.8].map((load) => shape('M/LN', m, ln, 1, load)),
  ...[0.5, 0.8, 0.9].map((load) => shape('M/M', m, m, 2, load)),
  ...[0.7, 0.9].map((load) => shape('M/M', m, m, 5, load)),
  ...[0.8, 0.9].map((load) => shape('M/M', m, m, 20, load)),
  ...[0.7, 0.9].map((load) => shape('M/D', m, d, 2, load)),
  ...[0.8, 0.9].map((load) => shape('M/D', m, d, 5, load)),
  ...[0.9].map((load) => shape('M/D', m, d, 20, load)),
  ...[0.7, 0.9].map((load) => shape('M/E2', m, e2, 4, load)),
  ...[0.8, 0.9].map((load) => shape('M/U', m, u, 3, load)),
  ...[0.8, 0.9].map((load) => shape('M/LN', m, ln, 3, load)),
  ...[0.9].map((load) => shape('M/H2', m, h2, 4, load)),
  ...[0.7, 0.9].map((load) => shape('E2/M', e2, m, 1, load)),
  ...[0.8].map((load) => shape('E2/M', e2, m, 3, load)),
  ...[0.8, 0.9].map((load) => shape('E2/E2', e2, e2, 1, load)),
  ...[0.9].map((load) => shape('D/M', d, m, 1, load)),
  ...[0.8, 0.9].map((load) => shape('H2(1.5)/M', h1, m, 1, load)),
  { ...shape('batches of 10/M', batchesOf(10), m, 1, 0.5), messages: 300_000 },
  { ...shape('batches of 50/D', batchesOf(50), d, 5, 0.7), messages: 500_000 },
]

/** A share of the time everything comes, in spells of so many services; the rest of the time nothing does. */
function bursts(share: number, services: number): Shape {
  return (prng, mean) => {
    const stay = services * serviceSeconds
    return switched(prng, [1 / (mean * share), 0], [stay, (stay * (1 - share)) / share])
  }
}

/** Loads as the formulas do not suppose them. */
export const strangeShapes: readonly LoadShape[] = [
  { ...shape('bursts of 20 services/M', bursts(0.5, 20), m, 1, 0.7), messages: 200_000 },
  { ...shape('bursts of 500 services/M', bursts(0.6, 500), m, 1, 0.5), messages: 200_000 },
  { ...shape('bursts of 500 services/D', bursts(0.4, 500), d, 4, 0.6), messages: 200_000 },
  {
    ...shape('rate doubles/M', (prng, mean) => changing(m(prng, mean * 1.5), m(prng, mean * 0.75), 100_000), m, 1, 0.7),
    messages: 200_000,
  },
  {
    ...shape('rate passes 1/M', (prng, mean) => changing(m(prng, mean * 1.4), m(prng, mean * 0.7), 20_000), m, 1, 0.8),
    messages: 40_000,
  },
  shape('H2/M', h2, m, 1, 0.5),
  shape('H2/D', h2, d, 1, 0.3),
  shape('H2/M', h2, m, 5, 0.7),
  shape('D/M', d, m, 1, 0.5),
  shape('D/E4', d, e4, 1, 0.6),
  shape('M/LN(50)', m, (prng, mean) => logNormal(prng, mean, 50), 1, 0.7),
  shape('M/H2(20)', m, (prng, mean) => hyperexponential(prng, mean, 20), 10, 0.8),
  { ...shape('M/M, 40 messages', m, m, 1, 0.8), messages: 40 },
  { ...shape('M/M, 400 messages', m, m, 1, 0.8), messages: 400 },
  { ...shape('M/M, 2000 messages', m, m, 1, 0.95), messages: 2_000 },
  { ...shape('M/M, too much', m, m, 2, 1.2), messages: 50_000 },
  { ...shape('M/M, at the limit', m, m, 1, 1), messages: 20_000 },
]
