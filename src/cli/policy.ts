/** `leveret policy`: settings for queues and exchanges whose names match a pattern. */
import type { JsonObject } from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import { administer, listed, sayDone } from './administer.ts'
import type { Reporting } from './fail.ts'
import { type Cell, table } from './table.ts'

interface PolicyCommand extends Reporting {
  readonly action: 'put' | 'delete' | 'list'
  readonly name: string
  readonly pattern: string
  readonly definition: string
  readonly applyTo?: string
  readonly priority?: string
  readonly operator?: boolean
  readonly vhost?: string
  readonly at: string
}

export async function run(options: PolicyCommand): Promise<number> {
  const { action, name, operator = false, vhost: virtualHost = '/', at, json } = options
  if (action === 'list') return await list(at, json)
  if (action === 'delete') await administer(at, { type: 'leveret.delete-policy', virtualHost, name, operator })
  else {
    const { pattern, applyTo = 'all' } = options
    const definition = definitionOf(options.definition)
    const policy = {
      virtualHost,
      name,
      operator,
      pattern,
      applyTo,
      priority: priorityOf(options.priority ?? '0'),
      definition,
    }
    await administer(at, { type: 'leveret.put-policy', ...policy })
  }
  sayDone(json, { policy: name, virtualHost, done: action })
  return 0
}

function definitionOf(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  } catch {
    // Said below.
  }
  throw new LeveretError(
    'E_BAD_OPTION',
    `the definition is '${text}', and has to be a JSON object like {"max-length": 1000}`,
  )
}

function priorityOf(text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text)
  throw new LeveretError('E_BAD_OPTION', `--priority is '${text}', and has to be an integer`)
}

interface Row {
  readonly vhost: string
  readonly name: string
  readonly pattern: string
  readonly 'apply-to': string
  readonly priority: number
  readonly definition: JsonObject
  readonly operator: boolean
}

async function list(at: string, json: boolean): Promise<number> {
  const policies = await listed(at, 'policies')
  const operators = (await listed(at, 'parameters')).filter(({ component }) => component === 'operator_policy')
  const rows = [
    ...policies.map((policy) => ({ ...policy, operator: false })),
    ...operators.map(({ vhost, name, value }) => ({ vhost, name, ...(value as JsonObject), operator: true })),
  ] as unknown as readonly Row[]
  if (json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
    return 0
  }
  const cells = rows.map(({ vhost, name, pattern, 'apply-to': applyTo, priority, definition, operator }): Cell[] => {
    return [vhost, name, pattern, applyTo, priority, JSON.stringify(definition), operator ? 'yes' : '']
  })
  const heads = ['vhost', 'policy', 'pattern', 'apply to', 'priority', 'definition', 'operator']
  process.stdout.write(table(heads, cells))
  return 0
}
