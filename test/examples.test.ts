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
    expect(names.map(({ name }) => name)).toEqual(['distributed', 'pipeline'])
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
})
