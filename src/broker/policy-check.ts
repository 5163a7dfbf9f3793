/** What is wrong with a policy. Settings that Leveret does not know are kept: definitions of other brokers have them. */
import type { AdminCommand, Json } from '../model/administration.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Patterns } from './patterns.ts'
import { policyTargets } from './policies.ts'

type Policy = Extract<AdminCommand, { readonly type: 'leveret.put-policy' }>

/** Ten years, RabbitMQ's limit for times. */
const timeMsMax = 315_360_000_000

const integers: Readonly<Record<string, readonly [min: number, max: number]>> = {
  'message-ttl': [0, timeMsMax],
  expires: [1, timeMsMax],
  'max-length': [0, Number.MAX_SAFE_INTEGER],
  'max-length-bytes': [0, Number.MAX_SAFE_INTEGER],
  'delivery-limit': [-1, Number.MAX_SAFE_INTEGER],
  'consumer-timeout': [0, timeMsMax],
}

const texts = ['dead-letter-exchange', 'dead-letter-routing-key', 'alternate-exchange', 'overflow', 'max-age']
const overflows = ['drop-head', 'reject-publish', 'reject-publish-dlx']

/** Throws PRECONDITION_FAILED. */
export function checkPolicy({ name, pattern, applyTo, priority, definition }: Policy, patterns: Patterns): void {
  const where = `policy '${name}'`
  patterns.check(pattern)
  if (!policyTargets.has(applyTo)) {
    throw refused(`${where}: apply-to is '${applyTo}', and has to be one of ${[...policyTargets.keys()].join(', ')}`)
  }
  if (!Number.isSafeInteger(priority)) throw refused(`${where}: its priority has to be an integer`)
  const settings = Object.entries(definition)
  if (settings.length === 0) throw refused(`${where}: its definition is empty`)
  for (const [key, value] of settings) checkSetting(`${where}: ${key}`, key, value)
}

function checkSetting(where: string, key: string, value: Json): void {
  const range = Object.hasOwn(integers, key) ? integers[key] : undefined
  if (range !== undefined) {
    const [min, max] = range
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return
    throw refused(`${where} has to be an integer from ${min} to ${max}`)
  }
  if (texts.includes(key)) checkText(where, value)
  if (key === 'overflow' && typeof value === 'string' && !overflows.includes(value)) {
    throw refused(`${where} is '${value}', and has to be one of ${overflows.join(', ')}`)
  }
}

/** Names and keys have to fit into a short string, or nobody could be told of them. */
function checkText(where: string, value: Json): void {
  if (typeof value !== 'string') throw refused(`${where} has to be text`)
  const size = Buffer.byteLength(value)
  if (size > limits.nameBytesMax) throw refused(`${where} has ${size} bytes, at most ${limits.nameBytesMax} fit`)
}

function refused(text: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', text)
}
