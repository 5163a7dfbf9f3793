/**
 * Runs one case and judges it:
 *
 *     · nothing is thrown past the server, rejected unheard, or reported as our own mistake; no code is 541
 *     · where the maker of the script knows what must follow, that follows
 *     · all that the server says is well-formed, and the neighbour has its messages and confirms
 *     · no buffer is made for what was only announced
 *     · prototypes are what they were
 *     · when the connections are gone nothing of them is left: no consumer, no exclusive queue, nothing unacknowledged, and
 *       no memory once the queues they made are deleted; a folder opens again
 */

import { Prng } from '../../lib/prng.ts'
import type { Clock } from '../../platform/clock.ts'
import { AllocationMeter } from './allocation-meter.ts'
import type { FuzzCase } from './fuzz-case.ts'
import { FuzzWorld } from './fuzz-world.ts'
import { HostileClient } from './hostile-client.ts'
import { Neighbour } from './neighbour.ts'
import { changedPrototype } from './prototypes.ts'

export interface FuzzHost {
  /** Tells how much time the code under test has taken, in ms. */
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** What nobody has caught since the last call; null if nothing. */
  readonly takeUncaught: () => unknown
}

export interface FuzzResult {
  readonly frames: number
  readonly connections: number
  /** How often each code was said. */
  readonly codes: ReadonlyMap<number, number>
  /** The longest that the code under test went on without a pause, in real ms. */
  readonly longestMs: number
  /** Null: all is as it should be. */
  readonly violation: string | null
}

/** Handshakes, closes and lost peers are all over by then: with a heartbeat of 60 s it takes two or three of them. */
const patienceMs = 12_000
const aloneMs = 1_000
const clockStepsPerMs = 1024
/** An output buffer, and four times what has come. */
const allocationSlackBytes = 65_536 + 4_096
const allocationFactor = 4

export async function runCase(plan: FuzzCase, host: FuzzHost): Promise<FuzzResult> {
  const meter = new AllocationMeter()
  const played: HostileClient[] = []
  let world: FuzzWorld | null = null
  let violation: string | null = null
  try {
    world = await FuzzWorld.open(plan, host.clock)
    violation = await play(plan, world, meter, played)
  } catch (error) {
    violation = `it was thrown: ${describe(error)}`
  } finally {
    meter.stop()
  }
  const uncaught = host.takeUncaught()
  if (uncaught !== null) violation = `nobody caught ${describe(uncaught)}`
  return {
    frames: played.reduce((sum, { sentFrames }) => sum + sentFrames, 0),
    connections: played.length + 1,
    codes: countCodes(played),
    longestMs: world?.clock.longestMs ?? 0,
    violation,
  }
}

async function play(
  plan: FuzzCase,
  world: FuzzWorld,
  meter: AllocationMeter,
  played: HostileClient[],
): Promise<string | null> {
  const prng = new Prng(plan.seed + 1)
  const { clock } = world
  const neighbour = new Neighbour(await world.connect())
  await clock.advance(50)
  for (const script of plan.scripts) played.push(new HostileClient(await world.connect(), script))
  meter.start()
  while (played.some(({ isDone }) => !isDone)) {
    const waiting = played.filter(({ isDone }) => !isDone)
    const waitMs = (waiting[prng.below(waiting.length)] as HostileClient).play()
    if (prng.chance(0.3)) neighbour.publish()
    // Whole steps of the clock: what is between them would put the pieces of a stream into another order.
    await clock.advance(Math.max(waitMs, prng.below(3 * clockStepsPerMs) / clockStepsPerMs))
  }
  await clock.advance(patienceMs)
  meter.stop()
  const sentBytes = played.reduce((sum, client) => sum + client.sentBytes, 0)
  const complaint = complaintOf(played, neighbour, world)
  if (complaint !== null) return complaint
  const allowed = allocationSlackBytes + allocationFactor * sentBytes
  if (!plan.isStored && meter.largestBytes > allowed) {
    return `a buffer of ${meter.largestBytes} bytes was made when ${sentBytes} had come`
  }
  return await alone(plan, world, neighbour, played)
}

function complaintOf(played: readonly HostileClient[], neighbour: Neighbour, world: FuzzWorld): string | null {
  for (const [at, client] of played.entries()) {
    const complaint = client.complaint()
    if (complaint !== null) return `client ${at}: ${complaint}`
  }
  if (world.errors.length > 0) return `reported as our own mistake: ${describe(world.errors[0])}`
  const changed = changedPrototype()
  return changed === null ? neighbour.complaint() : `the prototype of ${changed} was changed`
}

/** The hostile ones leave: what is left of them, and of the broker? */
async function alone(
  plan: FuzzCase,
  world: FuzzWorld,
  neighbour: Neighbour,
  played: readonly HostileClient[],
): Promise<string | null> {
  const { clock } = world
  for (const client of played) client.leave()
  await clock.advance(aloneMs)
  if (world.server.connectionCount !== 1) return `${world.server.connectionCount} connections are left instead of 1`
  neighbour.publish()
  await clock.advance(aloneMs)
  const complaint = neighbour.complaint()
  if (complaint !== null) return complaint
  const own = await world.queues()
  neighbour.leave()
  await clock.advance(aloneMs)
  const left = await world.queues()
  if (left.length !== own.length - 1) return `${own.length - left.length} queues went with the neighbour instead of 1`
  for (const { name, consumers, unacked, exclusive } of left) {
    if (exclusive || consumers + unacked > 0) {
      return `queue '${name}' is left with ${consumers} consumers, ${unacked} unacknowledged, exclusive: ${exclusive}`
    }
  }
  if (!plan.isStored) await world.deleteQueues(left.map(({ name }) => name))
  if (!plan.isStored && world.broker.residentBytes !== 0) return `${world.broker.residentBytes} bytes stay in memory`
  await world.close()
  return world.errors.length > 0 ? `reported as our own mistake: ${describe(world.errors[0])}` : null
}

function countCodes(played: readonly HostileClient[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const { codes } of played) for (const { code } of codes) counts.set(code, (counts.get(code) ?? 0) + 1)
  return counts
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
