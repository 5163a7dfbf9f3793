// One run of a benchmark that measures several systems in turn: what it tells, what it must undo in the end, and whether the
// machine was its own meanwhile.

import fs from 'node:fs'
import path from 'node:path'
import { describeMachine, systemTicks } from './machine.mjs'
import { median } from './statistics.mjs'

/** Above this share of all CPU time in other people's processes a figure says more about them than about what was measured. */
export const othersShareMax = 0.05

export class Session {
  /** Per window: the share of all CPU time that others took. @type {number[]} */
  othersShares = []
  /** What must be undone at the end, latest first. @type {(() => unknown)[]} */
  #cleanups = []
  #isJson
  #dataRoot

  /** @param {{ json: boolean, dataRoot: string }} options  with `json` people are told nothing but notes */
  constructor({ json, dataRoot }) {
    this.#isJson = json
    this.#dataRoot = dataRoot
  }

  /** Runs it to its end, also when it fails or is interrupted. @param {() => Promise<void>} main */
  async run(main) {
    let interrupted = false
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => {
        if (interrupted) return
        interrupted = true
        void this.cleanUp().finally(() => process.exit(130))
      })
    }
    try {
      await main()
    } catch (error) {
      process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = 1
    } finally {
      await this.cleanUp()
    }
  }

  /** @param {() => unknown} cleanup */
  atEnd(cleanup) {
    this.#cleanups.push(cleanup)
  }

  /** Undoes what there is to undo by now. */
  async cleanUp() {
    for (let cleanup = this.#cleanups.pop(); cleanup; cleanup = this.#cleanups.pop()) await cleanup()
  }

  /** An empty one, which is gone in the end. */
  dataFolder() {
    const folder = fs.mkdtempSync(path.join(this.#dataRoot, 'leveret-bench-'))
    this.atEnd(() => fs.rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  /**
   * Each in turn, and again: what the machine does meanwhile falls on all alike.
   * @template {{ name: string }} Target @template {{ othersShare: number }} Result
   * @param {number} runs @param {readonly Target[]} targets @param {(target: Target) => Promise<Result>} measure
   * @returns {Promise<Record<string, Result>[]>} per round, by the target's name
   */
  async interleaved(runs, targets, measure) {
    const rounds = []
    for (let round = 0; round < runs; round += 1) {
      /** @type {Record<string, Result>} */
      const measured = {}
      for (const target of targets) {
        const result = await measure(target)
        if (!Number.isNaN(result.othersShare)) this.othersShares.push(result.othersShare)
        measured[target.name] = result
      }
      rounds.push(measured)
    }
    return rounds
  }

  /** Says what this machine is, and returns that. */
  describeMachine() {
    const machine = describeMachine(this.#dataRoot)
    const { cpu, cores, memoryGiB, system, node, fileSystem, fdatasync } = machine
    this.say(`${cpu}, ${cores} cores, ${memoryGiB} GiB · ${system} · Node ${node} · ${machine.date.slice(0, 10)}`)
    const sync = `append + fdatasync p50 ${fdatasync.p50.toFixed(2)} ms, p99 ${fdatasync.p99.toFixed(2)} ms`
    this.say(`${this.#dataRoot} on ${fileSystem}, ${sync}`)
    if (fileSystem === 'tmpfs') this.note('data is in memory there: durable figures mean nothing; give --data-root')
    return machine
  }

  /** Says who else had the CPU since then; returns the hypervisor's share. @param {ReturnType<typeof systemTicks>} before */
  tellOthers(before) {
    const { othersShares } = this
    const after = systemTicks()
    const stolenShare = (after.stolen - before.stolen) / (after.all - before.all)
    this.say(`\nThe hypervisor took ${percentText(stolenShare)} of the CPU time meanwhile.`)
    if (othersShares.length > 0) {
      const most = percentText(Math.max(...othersShares))
      const usual = percentText(median(othersShares))
      this.say(`Other processes took ${usual} of it in the measured windows, at most ${most}.`)
    }
    const busy = othersShares.filter((share) => share > othersShareMax).length
    const windows = `${busy} of ${othersShares.length} windows`
    if (busy > 0) this.note(`the machine was not ours alone in ${windows}: repeat when it is`)
    return stolenShare
  }

  /** For people only. @param {string} text */
  say(text) {
    if (!this.#isJson) process.stdout.write(`${text}\n`)
  }

  /** What must be seen with --json too. @param {string} text */
  note(text) {
    process.stderr.write(`! ${text}\n`)
  }
}

/** @param {number} share */
function percentText(share) {
  return `${(share * 100).toFixed(1)} %`
}
