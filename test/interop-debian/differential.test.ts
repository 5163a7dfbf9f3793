// The conversations of test/differential, word for word with Debian's RabbitMQ and with Leveret: whatever the two answer
// differently must be in the list of differences that are meant.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { differences } from '../differential/allowed-differences.ts'
import { Allowed } from '../differential/compare.ts'
import { conversations } from '../differential/conversations/all.ts'
import { definitions } from '../differential/definitions.ts'
import { converse, type Outcome } from '../differential/run.ts'
import { LeveretProcess } from '../support/leveret-process.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'
import { runLeveret } from '../support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

const minutes = 60_000
const names = new Set(conversations.map(({ name }) => name))
const allowed = new Allowed(differences)
let rabbitmq: Awaited<ReturnType<typeof startRabbitmq>>
let leveret: LeveretProcess
let outcomes: readonly [ReadonlyMap<string, Outcome>, ReadonlyMap<string, Outcome>]

beforeAll(async () => {
  ;[rabbitmq, leveret] = await Promise.all([startRabbitmq(), LeveretProcess.start()])
  await define()
  outcomes = await Promise.all([
    converse(Number(new URL(rabbitmq.url).port), conversations),
    converse(leveret.port, conversations),
  ])
}, 5 * minutes)

/** Both get the same users, permissions, limits and policies, from one file. */
async function define(): Promise<void> {
  const folder = temporaryFolder('definitions')
  const file = join(folder, 'definitions.json')
  writeFileSync(file, JSON.stringify(definitions))
  const [said, imported] = await Promise.all([
    rabbitmq.control('import_definitions', file),
    runLeveret(['definitions', 'import', file, leveret.url]),
  ])
  expect(said).toContain('Success')
  expect(imported).toMatchObject({ code: 0, stderr: '' })
  // RabbitMQ goes on when it has answered: the policies come last.
  while (!(await rabbitmq.control('list_policies')).includes('brief'))
    await new Promise((resolve) => setTimeout(resolve, 100))
  removeFolder(folder)
}

afterAll(async () => {
  await rabbitmq?.stop()
  await leveret?.dispose()
})

describe('RabbitMQ and Leveret say the same', () => {
  test.each([...names])('%s', (name) => {
    const [one, two] = outcomes.map((all) => all.get(name) as Outcome) as [Outcome, Outcome]
    const text = (outcome: Outcome): string => `${outcome.transcript.join('\n')}\n${outcome.error}`
    expect(one.error, text(one)).toBe(null)
    expect(two.error, text(two)).toBe(null)
    expect(allowed.findings(name, one.transcript, two.transcript), 'RabbitMQ: -  Leveret: +').toBe('')
  })

  test('each conversation has a name of its own', () => {
    expect(names.size).toBe(conversations.length)
  })

  test('no difference is allowed that does not occur', () => {
    expect(allowed.unused()).toEqual([])
  })

  test('Leveret went through all of it without a word on its standard error', () => {
    expect(leveret.stderr).toBe('')
  })
})
