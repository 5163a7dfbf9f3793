// The programs of examples/ run as their pages say, in a small size, each in a process of its own on the built package.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const folder = fileURLToPath(new URL('../examples/', import.meta.url))
const run = promisify(execFile)

/** What the program prints; rejects with its errors if it ends with another status than 0. */
async function linesOf(program: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [`${folder}${program}`, ...args], { timeout: 25_000 })
  return stdout.trimEnd().split('\n')
}

describe('the examples', () => {
  it('have a page each', () => {
    const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    expect(names.map(({ name }) => name)).toEqual([
      'callbacks',
      'distributed',
      'events',
      'pipeline',
      'real-time',
      'request-reply',
      'schedule',
    ])
    for (const { name } of names) expect(existsSync(`${folder}${name}/README.md`), name).toBe(true)
  })

  it('take a file through two queues with the totals of a single pass', async () => {
    const lines = await linesOf('pipeline/pipeline.mjs', '--mebibytes', '4')
    expect(lines[0]).toBe('215123 sales in 4 MiB')
    expect(lines.at(-1)).toBe('the totals are those of a single pass over the file')
    const peakMiB = Number(/, (\d+) MiB at most/.exec(lines.join())?.[1])
    expect(peakMiB).toBeGreaterThan(0)
    expect(peakMiB).toBeLessThan(400)
  })

  it('lose nothing when a worker is killed in the middle of its work', async () => {
    const lines = await linesOf('distributed/main.mjs')
    expect(lines.join('\n')).toMatch(/all 40 receipts came: ada did \d+ jobs, bob \d+/)
    expect(lines.join('\n')).toMatch(/^[1-9]\d* of bob's were with ada before$/m)
    expect(lines.at(-1)).toBe('the queue is empty, nothing was lost')
  })

  it('tell of events: live, kept over a restart, and shared by two processes', async () => {
    const lines = await linesOf('events/main.mjs')
    expect(lines.join('\n')).not.toContain('unloads the Vega')
    expect(lines).toContain('  customs inspect the Endurance, attempt 1')
    expect(lines).toContain('  customs inspect the Gauss, attempt 2')
    expect(lines.at(-1)).toBe('  each of the 12 was towed once')
  })

  it('call back on the way, with the error first, and after the sender was killed', async () => {
    const lines = await linesOf('callbacks/main.mjs')
    expect(lines).toContain('  risotto is 14 €')
    expect(lines).toContain("  E_CALL_FAILED: call 'price' failed: Error: we do not cook those")
    const order = ['  risotto: the cook has begun', '  risotto: ███░░░░░░░░░', '  risotto: 1 plate']
    expect(lines.filter((line) => order.includes(line))).toEqual(order)
    expect(lines.join('\n')).toMatch(/soufflé: E_NOT_PROCESSED: .* was dead-lettered: it collapsed/)
    expect(lines.at(-1)).toBe('  table 7 is back and hears of its orders: processed: 1 plate')
  })

  it('ask, and say what became of the question when time runs out, callers give up and answerers die', async () => {
    const lines = await linesOf('request-reply/main.mjs')
    const said = [
      '  only 3 are left; so we take 3',
      '  the caller has E_TIMEOUT',
      '  Ada stops: E_EXPIRED',
      '  the caller has E_CANCELLED',
      '  Ada stops: E_CANCELLED',
      '  the caller has E_OUTCOME_UNKNOWN: it may have been done, or not',
      '  the answer is 42, says Dot',
    ]
    expect(lines.filter((line) => said.includes(line))).toEqual(said)
  })

  it('let low priorities wait in an overload, and drop what is too late, while live events are heard', async () => {
    const lines = await linesOf('real-time/main.mjs', '--seconds', '0.7', '--rate', '500')
    expect(lines.filter((line) => / positions, all heard: p50 [\d.]+ ms, p99 [\d.]+ ms, max/.test(line))).toHaveLength(
      3,
    )
    const overload = lines.slice(lines.findIndex((line) => line.startsWith('overload')))
    const figures = (kind: string): number[] =>
      overload
        .find((line) => line.includes(kind))
        ?.trim()
        .split(/ +/)
        .slice(1)
        .map(Number) ?? []
    for (const kind of ['brake', 'doors', 'advert']) {
      const [sent, ...outcomes] = figures(kind).slice(0, 4)
      expect(
        outcomes.reduce((sum, count) => sum + count, 0),
        kind,
      ).toBe(sent)
    }
    const shareDropped = (kind: string): number => (figures(kind)[3] ?? 0) / (figures(kind)[0] ?? 0)
    expect(shareDropped('advert')).toBeGreaterThan(shareDropped('brake'))
  })

  it('run on a schedule that two processes make, and make up for a stop', async () => {
    const lines = await linesOf('schedule/main.mjs')
    expect(lines.filter((line) => line === '  ding')).toHaveLength(3)
    expect(lines.join('\n')).toMatch(/next at night in Berlin: .* at 02:30$/m)
    expect(lines).toContain('  no second came twice')
    expect(lines.join('\n')).toMatch(/one stroke makes up for what was missed: \d+ had none of their own/)
    expect(lines.at(-1)).toMatch(/rung once by hand: 'ring' has run \d+ times$/)
  })
})
