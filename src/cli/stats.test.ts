// The command as a process, and a queue in this one: what it prints of how messages went through it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { type Bus, connect, type Queue } from '../index.ts'

let bus: Bus
let url: string
let jobs: Queue<number>

beforeAll(async () => {
  bus = await connect('memory:')
  url = (await bus.serve({ amqp: 0 })).url
  jobs = await bus.createQueue<number>('jobs', { maxLength: 1_000, overflow: 'reject' })
  const worker = jobs.process(() => new Promise((resolve) => setTimeout(resolve, 1)), { concurrency: 5 })
  await jobs.sendMany(Array.from({ length: 200 }, (_, at) => at))
  while ((await jobs.stats()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await worker.close()
  await jobs.sendMany([1, 2, 3])
})

afterAll(() => bus.close())

describe('leveret stats', () => {
  it('prints lengths, rates, waits, and what is to be expected', async () => {
    const { code, stdout, stderr } = await runLeveret(['stats', 'jobs', '--at', url])
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(
      /^length {6}3: 3 ready, 0 with consumers, and 0 delayed; the oldest is ready for [\d.]+ m?s$/,
    )
    expect(lines[1]).toMatch(/^rates {7}[\d.]+\/s sent, [\d.]+\/s received, [\d.]+\/s processed, over [\d.]+ m?s$/)
    expect(lines[2]).toMatch(
      /^wait {8}mean [\d.]+ ms, p50 .*, max [\d.]+ m?s, of (199|200|201) messages in [\d.]+ m?s$/,
    )
    expect(lines[3]).toMatch(/^processing {2}mean [\d.]+ ms, .* of \d+ messages/)
    expect(lines[4]).toMatch(/^model {7}λ [\d.]+\/s, μ [\d.]+\/s, c 0, ρ \?, c_a² .*; L and λW differ by [\d.]+ %$/)
    const outlook = lines.findIndex((line) => line.startsWith('expected'))
    // Each figure of the model stands in one of the lines that say how far it is to be trusted.
    const trust = lines.slice(5, outlook)
    expect(trust.join('\n')).toMatch(/^( {12}\S.* \(confidence (high|medium|low|none)(: .+)?\)\n?)+$/)
    for (const figure of ['λ', 'μ', 'c', 'ρ', 'c_a²', 'c_s²', 'L = λW']) {
      const named = trust.filter((line) =>
        line
          .split(' (')[0]
          ?.replaceAll(/ ±\d+ %/g, '')
          .trim()
          .split(', ')
          .includes(figure),
      )
      expect(named, figure).toHaveLength(1)
    }
    expect(trust.find((line) => line.includes('ρ'))).toBe('            ρ (confidence none: nobody consumes)')
    expect(lines[outlook]).toBe('expected    waits nobody knows how long: nobody consumes')
    expect(lines[outlook + 1]).toBe('            never drains (confidence high: nobody consumes)')
  })

  it('prints what would be with workers, and with another rate', async () => {
    const whatIf = ['--workers', '2', '--concurrency', '5', '--arrival', '60/m']
    const { stdout } = await runLeveret(['stats', 'jobs', '--at', url, ...whatIf])
    const lines = stdout.slice(stdout.indexOf('what if')).split('\n')
    expect(lines[0]).toMatch(/^what if {5}λ 1\/s, 10 at once, ρ 0\.\d+; 1 at once would keep up$/)
    expect(lines[1]).toMatch(/^ {12}λ, c\b.* \(confidence high\)$/)
    const outlook = lines.findIndex((line) => line.startsWith('expected'))
    expect(lines[outlook]).toMatch(/^expected {4}waits .* \(confidence \w+/)
    expect(lines[outlook + 1]).toMatch(/^ {12}drains in [\d.]+ [mµ]?s/)
  })

  it('prints of what cannot keep up that the wait never ends, and that it never drains', async () => {
    const { stdout } = await runLeveret(['stats', 'jobs', '--at', url, '--workers', '1', '--arrival', '100000'])
    const lines = stdout.slice(stdout.indexOf('what if')).split('\n')
    const outlook = lines.findIndex((line) => line.startsWith('expected'))
    expect(lines[outlook]).toMatch(/^expected {4}the wait never ends \(confidence \w+/)
    expect(lines[outlook + 1]).toMatch(/^ {12}never drains \(confidence \w+/)
    expect(lines[outlook + 2]).toMatch(/^ {12}grows by \d+\/s/)
  })

  it('prints of a queue to which nothing came that nothing is known, and not that it is 0', async () => {
    await bus.createQueue('idle')
    const { stdout } = await runLeveret(['stats', 'idle', '--at', url])
    const lines = stdout.split('\n')
    expect(lines[4]).toBe('model       λ ?, μ ?, c 0, ρ ?, c_a² ?, c_s² ?; L and λW are not known')
    expect(lines[5]).toBe('            λ, μ, c_a², c_s², L = λW (confidence none: nothing was measured yet)')
  })

  it('prints JSON with all of it, and a word where no number would do', async () => {
    const { stdout } = await runLeveret([
      'stats',
      'jobs',
      '--at',
      url,
      '--json',
      '--workers',
      '1',
      '--arrival',
      '1000000',
    ])
    const { ready, waitSeconds, model, forecast } = JSON.parse(stdout) as Record<string, unknown>
    expect([ready, waitSeconds]).toMatchObject([3, { count: expect.closeTo(200, -1) as unknown }])
    expect(model).toMatchObject({ servers: 0, drainSeconds: { value: 'never drains' } })
    expect(forecast).toMatchObject({ servers: 1, arrivalRate: 1e6, expectedWaitSeconds: { value: 'never ends' } })
  })

  it('prints that nobody knows when a backlog is gone of which nothing was settled yet', async () => {
    const slow = await bus.createQueue<number>('slow')
    let finish = (): void => {}
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const worker = slow.process(() => held)
    await slow.sendMany([1, 2, 3])
    const { stdout } = await runLeveret(['stats', 'slow', '--at', url])
    expect(stdout).toMatch(/^ {12}drains nobody knows when: nothing was settled in [\d.]+ s$/m)
    finish()
    await worker.close()
  })

  it('says what is wrong with what was typed, and what is not there', async () => {
    const typed = await runLeveret(['stats', 'jobs', '--at', url, '--workers', 'many'])
    expect(typed).toMatchObject({
      code: 2,
      stderr: "leveret: E_BAD_OPTION: --workers is 'many', and has to be a number\n",
    })
    const negative = await runLeveret(['stats', 'jobs', '--at', url, '--workers', '-1'])
    expect(negative.code).toBe(2)
    const missing = await runLeveret(['stats', 'nope', '--at', url])
    expect(missing).toMatchObject({ code: 1, stderr: "leveret: NOT_FOUND: no queue 'nope' in vhost '/'\n" })
  })
})
