// A demonstration as it may stand in the middle of its rush; tests say what is otherwise.
import { phaseAt } from '../../src/cli/demo/load.ts'
import type { DemoState, Sample } from '../../src/cli/demo/state.ts'

export function sampleAt(atMs: number, changes: Partial<Sample> = {}): Sample {
  const nothing = { ready: 0, unacked: 0, delayed: 0, sendRate: 0, receiveRate: 0, processingRate: 0, waitMs: 0 }
  return { atMs, ...nothing, ...changes }
}

export function demoState(changes: Partial<DemoState> = {}): DemoState {
  const elapsedMs = changes.elapsedMs ?? 4_000
  const durationMs = changes.durationMs ?? 10_000
  return {
    where: 'memory:',
    durationMs,
    elapsedMs,
    phase: phaseAt(elapsedMs, durationMs),
    queue: { name: 'demo.photos', found: 0, sent: 300, processed: 210, retried: 12, deadLettered: 2 },
    history: [
      sampleAt(0),
      sampleAt(2_000, { unacked: 2, sendRate: 40, processingRate: 40, waitMs: 0.5 }),
      sampleAt(4_000, { ready: 83, unacked: 4, delayed: 1, sendRate: 150, processingRate: 98, waitMs: 412 }),
    ],
    callbacks: { processed: 210, deadLettered: 2, totalMs: 21_200, followed: null },
    events: {
      emitted: 212,
      listeners: [
        { name: 'gallery', pattern: 'demo.photo.resized', heard: 210, last: 'photo-0210.png resized' },
        { name: 'audit', pattern: 'demo.photo.*', heard: 212, last: 'photo-0117.png failed' },
      ],
    },
    calls: { answered: 6, totalMs: 30, last: { question: 'what do 20 prints cost?', answer: '3.80 €', ms: 4 } },
    ...changes,
  }
}
