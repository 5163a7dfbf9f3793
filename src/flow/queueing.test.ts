// Formulas are held against values from tables, against one another, and against sums written out.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  drainSeconds,
  erlangB,
  erlangC,
  expectedWait,
  type Load,
  utilisation,
  waitAllenCunneen,
  waitMG1,
  waitMMc,
} from './queueing.ts'

function load(changes: Partial<Load>): Load {
  return { arrivalRate: 0.8, serviceSeconds: 1, servers: 1, arrivalScv: 1, serviceScv: 1, batchExcess: 0, ...changes }
}

describe('Erlang', () => {
  it('has the values of the tables', () => {
    // Erlang B: 5 lines carry 1.3608 erlangs at 1 % loss, 10 lines 4.4612, 100 lines 84.064.
    expect(erlangB(5, 1.3608)).toBeCloseTo(0.01, 4)
    expect(erlangB(10, 4.4612)).toBeCloseTo(0.01, 4)
    expect(erlangB(100, 84.064)).toBeCloseTo(0.01, 4)
    // Erlang C: M/M/2 at ρ = 0.75 waits with 9/14.
    expect(erlangC(2, 1.5)).toBeCloseTo(9 / 14, 12)
  })

  it('says what the sums say that it comes from', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (servers, rho) => {
        const offered = servers * rho
        let term = 1
        let sum = 1
        for (let n = 1; n < servers; n++) {
          term *= offered / n
          sum += term
        }
        const last = ((term * offered) / servers) * (1 / (1 - rho))
        expect(erlangC(servers, offered)).toBeCloseTo(last / (sum + last), 9)
      }),
    )
  })

  it('stands as many servers as there can be, and no load', () => {
    expect(erlangC(10_000, 9_900)).toBeGreaterThan(0)
    expect(erlangC(10_000, 9_900)).toBeLessThan(1)
    expect(erlangC(10_000, 10)).toBe(0)
    expect(erlangB(3, 0)).toBe(0)
    expect(erlangC(2, 5)).toBe(1)
  })
})

describe('the expected wait', () => {
  it('is ρ/(1 − ρ) services for M/M/1, and half of that for M/D/1', () => {
    expect(waitMMc(load({}))).toBeCloseTo(4, 12)
    expect(expectedWait(load({}))).toBeCloseTo(4, 12)
    expect(expectedWait(load({ serviceScv: 0 }))).toBeCloseTo(2, 12)
    expect(expectedWait(load({ servers: 2, arrivalRate: 1.5 }))).toBeCloseTo(9 / 7, 12)
  })

  it('is exact for M/G/1: what Pollaczek and Khinchine say', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        fc.double({ min: 0, max: 50, noNaN: true }),
        (arrivalRate, serviceScv) => {
          const exact = waitMG1(arrivalRate, 1, serviceScv)
          expect(expectedWait(load({ arrivalRate, serviceScv }))).toBeCloseTo(exact, 9)
          expect(waitAllenCunneen(load({ arrivalRate, serviceScv }))).toBeCloseTo(exact, 9)
        },
      ),
    )
  })

  it('has a batch wait for itself, however little there is to do otherwise', () => {
    // M^[2]/M/1 (Burke 1975): W_q = (ρ + 1/2)/(1 − ρ) services.
    expect(expectedWait(load({ arrivalRate: 0.5, batchExcess: 1 }))).toBeCloseTo(2, 12)
    expect(expectedWait(load({ arrivalRate: 1e-9, batchExcess: 9 }))).toBeCloseTo(4.5, 6)
  })

  it('never goes down when more comes, or less evenly; nor up when there are more servers', () => {
    const rho = fc.double({ min: 0.05, max: 0.95, noNaN: true })
    const scv = fc.double({ min: 0, max: 0.98, noNaN: true })
    fc.assert(
      fc.property(rho, scv, scv, fc.integer({ min: 1, max: 30 }), (share, arrivalScv, serviceScv, servers) => {
        const one = load({ arrivalRate: share * servers, servers, arrivalScv, serviceScv })
        const wait = expectedWait(one)
        expect(expectedWait({ ...one, arrivalRate: one.arrivalRate * 1.01 })).toBeGreaterThanOrEqual(wait)
        expect(expectedWait({ ...one, arrivalScv: arrivalScv + 0.01 })).toBeGreaterThanOrEqual(wait * (1 - 1e-9))
        expect(waitMMc({ ...one, servers: servers + 1 })).toBeLessThanOrEqual(waitMMc(one))
      }),
    )
  })

  it('is without end where servers do not keep up, and nothing where there is nothing to do', () => {
    expect(expectedWait(load({ arrivalRate: 1 }))).toBe(Number.POSITIVE_INFINITY)
    expect(expectedWait(load({ arrivalRate: 7, servers: 5 }))).toBe(Number.POSITIVE_INFINITY)
    expect(expectedWait(load({ arrivalRate: 0 }))).toBe(0)
    expect(expectedWait(load({ serviceSeconds: 0 }))).toBe(0)
    expect(expectedWait(load({ arrivalScv: 0, serviceScv: 0 }))).toBe(0)
    expect(utilisation(load({ servers: 4 }))).toBeCloseTo(0.2, 12)
  })
})

describe('draining', () => {
  it('takes as long as the backlog does at the rate that is left', () => {
    expect(drainSeconds(100, load({ arrivalRate: 0.5 }))).toBe(200)
    expect(drainSeconds(0, load({ arrivalRate: 0.5 }))).toBe(0)
    expect(drainSeconds(1, load({ arrivalRate: 1 }))).toBe(Number.POSITIVE_INFINITY)
  })

  it('never ends where messages come as fast as they go, also where none waits yet', () => {
    expect(drainSeconds(0, load({ arrivalRate: 1 }))).toBe(Number.POSITIVE_INFINITY)
    expect(drainSeconds(0, load({ arrivalRate: 5 }))).toBe(Number.POSITIVE_INFINITY)
    expect(drainSeconds(0, load({ servers: 0 }))).toBe(Number.POSITIVE_INFINITY)
    expect(drainSeconds(1, load({ servers: 0, arrivalRate: 0 }))).toBe(Number.POSITIVE_INFINITY)
    expect(drainSeconds(0, load({ servers: 0, arrivalRate: 0 }))).toBe(0)
  })
})
