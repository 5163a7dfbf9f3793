/**
 * Queueing theory: how long messages wait, from how fast they come, how long each takes, and how many are worked on at once.
 * Numbers in, numbers out. Rates are per second, times in seconds.
 *
 *     λ  arrival rate      μ  service rate of one server      c  servers      a = λ/μ  offered load, in erlangs      ρ = a/c
 *     c_a², c_s²  squared coefficients of variation (variance / mean²) of the times between arrivals and of service
 *
 * Sources
 *
 *     Erlang 1917        A. K. Erlang, Solution of some problems in the theory of probabilities of significance in automatic
 *                        telephone exchanges. Elektroteknikeren 13
 *     Pollaczek 1930,    for one server and Poisson arrivals the wait depends on the first two moments of service alone
 *     Khinchine 1932
 *     Little 1961        J. D. C. Little, A proof for the queuing formula L = λW. Operations Research 9
 *     Kleinrock 1975     L. Kleinrock, Queueing Systems I, sections 3.2 to 3.5 and 5.6
 *     Cosmetatos 1976    G. P. Cosmetatos, Some approximate equilibrium results for the multi-server queue M/G/r. Operational
 *                        Research Quarterly 27; the form with 0.24 and 16 is that of Whitt 1993
 *     Burke 1975         P. J. Burke, Delays in single-server queues with batch input. Operations Research 23
 *     Krämer 1976        W. Krämer, M. Langenbach-Belz, Approximate formulae for the delay in the queueing system GI/G/1. ITC 8
 *     Allen 1990         A. O. Allen, Probability, Statistics and Queueing Theory, 2nd ed., section 5.5 (Allen–Cunneen)
 *     Whitt 1993         W. Whitt, Approximations for the GI/G/m queue. Production and Operations Management 2
 */
import { assert } from '../lib/assert.ts'

/** What a queue is offered, and what serves it. */
export interface Load {
  /** λ, in messages/s. */
  readonly arrivalRate: number
  /** 1/μ: how long one message takes, in seconds. */
  readonly serviceSeconds: number
  /** c: how many messages are worked on at once. */
  readonly servers: number
  /** c_a²: 0 in even time, 1 for Poisson arrivals, more for bursts. */
  readonly arrivalScv: number
  /** c_s²: 0 if each takes as long as the other, 1 if exponential. */
  readonly serviceScv: number
  /** E[B²]/E[B] − 1 of batches that come at once, of B messages each: about one less than their size. 0: one by one. */
  readonly batchExcess: number
}

/** ρ = λ/(cμ): the share of their time for which servers have work. From 1 on they do not keep up. */
export function utilisation({ arrivalRate, serviceSeconds, servers }: Load): number {
  return (arrivalRate * serviceSeconds) / servers
}

/**
 * Erlang B (Erlang 1917): the probability that all servers are busy, where those who find them so go away. By the recursion
 * 1/B(n) = 1 + (n/a)/B(n−1), in which nothing overflows and nothing cancels, however many servers there are.
 */
export function erlangB(servers: number, offered: number): number {
  assert(Number.isInteger(servers) && servers >= 0, 'servers are counted')
  assert(offered >= 0, 'a load is not negative')
  if (offered === 0) return servers === 0 ? 1 : 0
  let inverse = 1
  for (let n = 1; n <= servers; n++) {
    inverse = 1 + (n / offered) * inverse
    // No share of anything any more.
    if (inverse === Number.POSITIVE_INFINITY) return 0
  }
  return 1 / inverse
}

/** Erlang C (Erlang 1917; Kleinrock 1975, 3.5): the probability that a message has to wait, from C = B/(1 − ρ(1 − B)). */
export function erlangC(servers: number, offered: number): number {
  assert(servers >= 1, 'somebody works')
  if (offered >= servers) return 1
  const blocked = erlangB(servers, offered)
  return blocked / (1 - (offered / servers) * (1 - blocked))
}

/** Expected wait in M/M/c (Erlang 1917): W_q = C(c, a)/(cμ − λ). With one server that is ρ/(1 − ρ) · 1/μ. Infinite from ρ = 1 on. */
export function waitMMc({ arrivalRate, serviceSeconds, servers }: Load): number {
  if (serviceSeconds === 0 || arrivalRate === 0) return 0
  const offered = arrivalRate * serviceSeconds
  if (offered >= servers) return Number.POSITIVE_INFINITY
  return (erlangC(servers, offered) * serviceSeconds) / (servers - offered)
}

/** Expected wait in M/G/1 (Pollaczek 1930, Khinchine 1932; Kleinrock 1975, 5.6): W_q = ρ/(1 − ρ) · (1 + c_s²)/2 · 1/μ. Exact. */
export function waitMG1(arrivalRate: number, serviceSeconds: number, serviceScv: number): number {
  const rho = arrivalRate * serviceSeconds
  if (rho >= 1) return Number.POSITIVE_INFINITY
  return ((rho / (1 - rho)) * (1 + serviceScv) * serviceSeconds) / 2
}

/** Allen–Cunneen (Allen 1990): W_q ≈ W_q(M/M/c) · (c_a² + c_s²)/2. What `expectedWait` refines. */
export function waitAllenCunneen(load: Load): number {
  return waitMMc(load) * ((load.arrivalScv + load.serviceScv) / 2)
}

/**
 * Expected wait in G/G/c, with the refinements that theory has for where Allen–Cunneen is off:
 *
 *     W_q ≈ W_q(M/M/c) · [ (c_a² + c_s²)/2  +  (1 − c_s²) · γ/2 ] · g  +  (E[B²]/E[B] − 1)/2 · 1/(cμ(1 − ρ))
 *
 * γ (Cosmetatos 1976): several servers help less if messages take equally long. M/D/c waits (1 + γ)/2 of M/M/c, not the half.
 * g (Krämer 1976): arrivals that are more even, or more bursty, than Poisson's, are felt less the less there is to do.
 * The last term (Burke 1975): of a batch each message waits for those before it, however little there is to do otherwise; c_a² is
 * that of the batches then. Exact for M/M/c and M/G/1, for which γ is 0 and g is 1, and for batches with one server.
 */
export function expectedWait(load: Load): number {
  const { arrivalScv, serviceScv } = load
  const base = waitMMc(load)
  if (load.arrivalRate === 0 || load.serviceSeconds === 0 || base === Number.POSITIVE_INFINITY) return base
  const rho = utilisation(load)
  const variability = (arrivalScv + serviceScv) / 2 + ((1 - serviceScv) * severalServers(load.servers, rho)) / 2
  const oneByOne = base * Math.max(0, variability) * arrivalEvenness(rho, arrivalScv, serviceScv)
  return oneByOne + ((load.batchExcess / 2) * load.serviceSeconds) / (load.servers * (1 - rho))
}

/** γ in Cosmetatos' approximation of M/D/c, as Whitt 1993 bounds it. 0 with one server. */
function severalServers(servers: number, rho: number): number {
  return Math.min(0.24, ((1 - rho) * (servers - 1) * (Math.sqrt(4 + 5 * servers) - 2)) / (16 * servers * rho))
}

/** g of Krämer and Langenbach-Belz. 1 for Poisson arrivals. */
function arrivalEvenness(rho: number, arrivalScv: number, serviceScv: number): number {
  const both = arrivalScv + serviceScv
  if (both === 0 || arrivalScv === 1) return 1
  if (arrivalScv < 1) return Math.exp(((-2 * (1 - rho)) / (3 * rho)) * ((1 - arrivalScv) ** 2 / both))
  return Math.exp((-(1 - rho) * (arrivalScv - 1)) / (arrivalScv + 4 * serviceScv))
}

/**
 * How long a backlog takes to go, in seconds, as a fluid does (Kleinrock 1976, Queueing Systems II, 2.7): n/(cμ − λ). Infinite if
 * messages come as fast as they go, also where nothing waits yet: what comes will.
 */
export function drainSeconds(backlog: number, load: Load): number {
  const { arrivalRate, serviceSeconds, servers } = load
  if (arrivalRate === 0 && backlog === 0) return 0
  if (servers === 0 || utilisation(load) >= 1) return Number.POSITIVE_INFINITY
  return backlog / (servers / serviceSeconds - arrivalRate)
}
