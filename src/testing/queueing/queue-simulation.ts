/**
 * A queue as a discrete-event simulation: arrivals and departures are events in a calendar, messages wait in line, first come first
 * served, servers take one at a time. It knows no formula: what it says of waits and lengths is counted.
 *
 * The first part of a run is not counted, since the queue begins empty.
 */
import { Deque } from '../../lib/deque.ts'
import { Heap } from '../../lib/heap.ts'
import type { Times } from './distributions.ts'

interface Event {
  readonly at: number
  /** A server is free again; otherwise a message arrives. */
  readonly isDeparture: boolean
}

interface QueueSimulation {
  readonly gaps: Times
  readonly services: Times
  readonly servers: number
  /** How many messages arrive after the first ones. */
  readonly messages: number
  /** How many arrive before anything is counted. */
  readonly warmUp: number
}

/** Of what happened, in order; in seconds. */
export interface QueueWatcher {
  arrived(atSeconds: number): void
  /** How long it waited, when its service began, and how long that takes. */
  began(waitSeconds: number, atSeconds: number, serviceSeconds: number): void
}

export interface SimulatedQueue {
  /** W_q, the mean over messages, in seconds. */
  readonly waitSeconds: number
  /** L_q, the mean over time. */
  readonly waiting: number
  /** The mean number of servers at work. */
  readonly working: number
  readonly seconds: number
}

/** Runs until as many messages as were asked for have been taken from the line. */
export function simulateQueue(
  { gaps, services, servers, messages, warmUp }: QueueSimulation,
  watcher: QueueWatcher,
): SimulatedQueue {
  const calendar = new Heap<Event>((one, other) => one.at < other.at)
  const line = new Deque<number>()
  let arrivals = 0
  let busy = 0
  let begun = 0
  let waited = 0
  let waitingArea = 0
  let workingArea = 0
  let clock = 0
  let countedSince = 0
  calendar.push({ at: gaps(), isDeparture: false })
  while (begun < messages) {
    const event = calendar.pop() as Event
    if (arrivals >= warmUp) {
      waitingArea += line.length * (event.at - clock)
      workingArea += busy * (event.at - clock)
    }
    clock = event.at
    if (event.isDeparture) busy--
    else {
      arrivals++
      if (arrivals === warmUp) countedSince = clock
      if (arrivals > warmUp) watcher.arrived(clock)
      line.push(arrivals > warmUp ? clock : -clock - 1)
      calendar.push({ at: clock + gaps(), isDeparture: false })
    }
    while (busy < servers && line.length > 0) {
      const cameAt = line.shift() as number
      const service = services()
      busy++
      calendar.push({ at: clock + service, isDeparture: true })
      // What came before the count began is served, and not counted.
      if (cameAt < 0) continue
      begun++
      waited += clock - cameAt
      watcher.began(clock - cameAt, clock, service)
    }
  }
  const seconds = clock - countedSince
  return { waitSeconds: waited / begun, waiting: waitingArea / seconds, working: workingArea / seconds, seconds }
}
