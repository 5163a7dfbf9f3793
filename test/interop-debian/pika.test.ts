// pika, the client most Python programs use: against Leveret, and against RabbitMQ to see that the cases are right.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

const script = fileURLToPath(new URL('pika_cases.py', import.meta.url))
// Debian's own Python: another one that comes first on the PATH does not see Debian's modules.
const python = '/usr/bin/python3'

/** Name and sentence of each case, as the script lists them. */
function listCases(): [name: string, sentence: string][] {
  const { stdout, stderr, status } = spawnSync(python, [script], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`pika: ${stderr}`)
  return JSON.parse(stdout) as [string, string][]
}

let leveret: LeveretProcess
let rabbitmq: Awaited<ReturnType<typeof startRabbitmq>>

beforeAll(async () => {
  leveret = await LeveretProcess.start()
  rabbitmq = await startRabbitmq()
})

afterAll(async () => {
  await leveret?.dispose()
  await rabbitmq?.stop()
})

describe.each(['Leveret', 'RabbitMQ'] as const)('pika and %s', (broker) => {
  it.each(listCases())('%s: %s', (name) => {
    const { url } = broker === 'Leveret' ? leveret : rabbitmq
    const { status, stdout, stderr } = spawnSync(python, [script, url, name], { encoding: 'utf8', timeout: 50_000 })
    expect(status, `${stdout}${stderr}`).toBe(0)
  })
})
