/**
 * How bursty arrivals are, as the wait feels it. Two measures of the same thing, which agree if each arrival is independent of those
 * before it (a renewal process), and differ if they come in waves:
 *
 *     gaps         c_a² = variance / mean² of the times between arrivals
 *     dispersion   I(t) = variance / mean of how many come in a time t; for renewal processes I(t) → c_a² as t grows
 *                  (Cox and Lewis 1966, The statistical analysis of series of events, 4.5)
 *
 * A queue does not notice bursts longer than what it remembers, about (c_a² + c_s²)/(1 − ρ)² services: so that is the t at which the
 * dispersion counts (Fendick and Whitt 1989, Measurements and approximations to describe the offered traffic and predict the
 * average workload in a single-server queue. Proceedings of the IEEE 77).
 */
import type { SpanLevel } from '../lib/span-counts.ts'
import type { FlowWindow } from './flow-window.ts'

/** With fewer spans a dispersion says nothing. */
const spansMin = 30

export interface Burstiness {
  /** What stands for c_a² in the formulas. */
  readonly scv: number
  /** E[B²]/E[B] − 1, of what comes at once; 0: one by one. The scv is that of the batches. */
  readonly batchExcess: number
  /** Arrivals depend on one another: the dispersion was taken, not the gaps. */
  readonly isCorrelated: boolean
  /** Over longer times they come still more unevenly: the rate changes, or bursts last longer than the queue remembers. */
  readonly isDrifting: boolean
}

/** `memorySeconds`: what the queue remembers. */
export function burstiness({ gaps, levels }: FlowWindow, memorySeconds: number): Burstiness {
  const usable = levels.filter(({ spans, counted }) => spans >= spansMin && counted > 0)
  const longest = usable.at(-1)
  const felt = usable.filter(({ spanSeconds }) => spanSeconds <= memorySeconds).at(-1)
  const known = Math.max(gaps.scv, felt === undefined ? 1 : dispersion(felt))
  const isDrifting = longest !== undefined && exceeds(longest, known)
  if (felt === undefined) return { scv: gaps.scv, batchExcess: 0, isCorrelated: false, isDrifting }
  const isCorrelated = exceeds(felt, gaps.scv) || fallsShort(felt, gaps.scv)
  if (!isCorrelated) return { scv: gaps.scv, batchExcess: 0, isCorrelated, isDrifting }
  // What comes within a turn of an event loop has one time, batch or not: batches are uneven over longer times, too.
  const scv = dispersion(felt)
  const batchExcess = Math.max(0, Math.min(scv, dispersion(usable[0] as SpanLevel)) - 1)
  return { scv: scv - batchExcess, batchExcess, isCorrelated, isDrifting }
}

export function dispersion({ spans, counted, squares }: SpanLevel): number {
  const mean = counted / spans
  return Math.max(0, squares / spans - mean * mean) / mean
}

/** Beyond chance. In short spans the dispersion is near 1, whatever c_a² is. */
function exceeds(level: SpanLevel, scv: number): boolean {
  const expected = Math.max(1, scv)
  return dispersion(level) > expected * (1.3 + 3 * chance(level))
}

/** Many gaps of no time at all, as the turns of an event loop make them, or batches: c_a² of the gaps says too much. */
function fallsShort(level: SpanLevel, scv: number): boolean {
  return scv > 1.5 && level.counted / level.spans > 5 && dispersion(level) * (1.6 + 3 * chance(level)) < scv
}

/** The standard error of a dispersion, as a share of it; for Poisson counts. */
function chance({ spans, counted }: SpanLevel): number {
  return Math.sqrt((2 + spans / counted) / spans)
}
