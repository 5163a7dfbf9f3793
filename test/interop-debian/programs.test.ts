// Programs in other languages, each with the client that most programs of its language use: against Leveret, and against
// RabbitMQ to see that the cases are right. Each lists its cases when it is run without arguments.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

type Program = readonly [command: string, ...args: string[]]

const built = mkdtempSync(join(tmpdir(), 'leveret-programs-'))

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

/** Compiled once, for `go run` would do it for each case. Without modules: Debian's packages are a GOPATH. */
function buildGo(): string {
  const program = join(built, 'go_cases')
  const go = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(built, 'cache'), CGO_ENABLED: '0' }
  execFileSync('go', ['build', '-o', program, source('go_cases.go')], { env: { ...process.env, ...go } })
  return program
}

const programs: readonly (readonly [client: string, program: Program])[] = [
  // Debian's own Python: another one that comes first on the PATH does not see Debian's modules.
  ['pika', ['/usr/bin/python3', source('pika_cases.py')]],
  ['php-amqplib', ['php', source('php_cases.php')]],
  ['amqp091-go', [buildGo()]],
]

/** Name and sentence of each case. */
function listCases([command, ...args]: Program): [name: string, sentence: string][] {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command}: ${stderr}`)
  return JSON.parse(stdout) as [string, string][]
}

let leveret: LeveretProcess
let rabbitmq: Awaited<ReturnType<typeof startRabbitmq>>

beforeAll(async () => {
  leveret = await LeveretProcess.start()
  rabbitmq = await startRabbitmq()
})

afterAll(async () => {
  rmSync(built, { recursive: true, force: true })
  await leveret?.dispose()
  await rabbitmq?.stop()
})

describe.each(programs)('%s', (_client, program) => {
  const [command, ...args] = program

  describe.each(['Leveret', 'RabbitMQ'] as const)('and %s', (broker) => {
    it.each(listCases(program))('%s: %s', (name) => {
      const { url } = broker === 'Leveret' ? leveret : rabbitmq
      const run = spawnSync(command, [...args, url, name], { encoding: 'utf8', timeout: 50_000 })
      expect(run.status, `${run.stdout}${run.stderr}`).toBe(0)
    })
  })
})
