// Which policy holds for what, and what of it.
import { describe, expect, test } from 'vitest'
import type { AdminCommand, JsonObject } from '../model/administration.ts'
import { type CoreChannel, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'
import type { EffectivePolicy, PolicyKind } from './policies.ts'

type Policy = Extract<AdminCommand, { readonly type: 'leveret.put-policy' }>

function policy(name: string, definition: JsonObject, more: Partial<Policy> = {}): Policy {
  const usual = { virtualHost: '/', operator: false, pattern: '', applyTo: 'all', priority: 0 }
  return { type: 'leveret.put-policy', ...usual, ...more, name, definition }
}

async function open(...policies: readonly Policy[]) {
  const core = await openCore()
  const channel = await core.channel()
  for (const one of policies) channel.ask(one)
  const effective = (name: string, kind: PolicyKind = 'classic', host = '/'): EffectivePolicy | null =>
    core.broker.policies.effective(host, kind, name)
  return { core, channel, effective }
}

describe('a policy', () => {
  test('holds for names that its pattern finds, and for what it applies to', async () => {
    const { effective } = await open(policy('p', { expires: 5 }, { pattern: '^orders', applyTo: 'queues' }))
    expect(effective('orders.new')).toEqual({ policy: 'p', operatorPolicy: null, definition: { expires: 5 } })
    expect(effective('my orders')).toBeNull()
    expect(effective('orders', 'exchange')).toBeNull()
    expect(effective('orders', 'quorum')?.policy).toBe('p')
    expect(effective('orders', 'classic', 'elsewhere')).toBeNull()
  })

  test.each([
    ['all', ['exchange', 'classic', 'quorum', 'stream']],
    ['exchanges', ['exchange']],
    ['queues', ['classic', 'quorum', 'stream']],
    ['classic_queues', ['classic']],
    ['quorum_queues', ['quorum']],
    ['streams', ['stream']],
  ] as const)('for %s is for those', async (applyTo, kinds) => {
    const { effective } = await open(policy('p', { expires: 5 }, { applyTo }))
    const all = ['exchange', 'classic', 'quorum', 'stream'] as const
    expect(all.filter((kind) => effective('x', kind) !== null)).toEqual(kinds)
  })

  test('of the highest priority holds, and nothing of the others', async () => {
    const { effective } = await open(
      policy('low', { expires: 1, 'max-length': 1 }, { priority: -1 }),
      policy('high', { expires: 2 }, { priority: 10, pattern: 'a' }),
      policy('b', { expires: 3 }),
      policy('a', { expires: 4 }),
    )
    expect(effective('xax')).toMatchObject({ policy: 'high', definition: { expires: 2 } })
    expect(effective('x')).toEqual({ policy: 'a', operatorPolicy: null, definition: { expires: 4 } })
  })

  test('that is replaced or deleted changes the version and what holds', async () => {
    const { core, channel, effective } = await open(policy('p', { expires: 1 }))
    const { version } = core.broker.policies
    channel.ask(policy('p', { expires: 2 }))
    expect(effective('x')?.definition).toEqual({ expires: 2 })
    expect(core.broker.policies.version).toBeGreaterThan(version)
    channel.ask({ type: 'leveret.delete-policy', virtualHost: '/', name: 'p', operator: false })
    expect(effective('x')).toBeNull()
    expect(channel.refusal({ type: 'leveret.delete-policy', virtualHost: '/', name: 'p', operator: false })).toContain(
      "NOT_FOUND - policy 'p'",
    )
  })
})

describe("an operator's policy", () => {
  test('makes limits tighter and never wider, and decides what is no number', async () => {
    const { effective } = await open(
      policy('p', { 'max-length': 10, 'message-ttl': 100, overflow: 'drop-head', __proto__: 1 }),
      policy('o', { 'max-length': 5, 'message-ttl': 1000, overflow: 'reject-publish', expires: 7 }, { operator: true }),
    )
    expect(effective('x')).toEqual({
      policy: 'p',
      operatorPolicy: 'o',
      definition: { 'max-length': 5, 'message-ttl': 100, overflow: 'reject-publish', expires: 7 },
    })
  })

  test('holds also where there is no other', async () => {
    const { effective } = await open(policy('o', { expires: 7 }, { operator: true, pattern: '^a' }))
    expect(effective('a')).toEqual({ policy: null, operatorPolicy: 'o', definition: { expires: 7 } })
    expect(effective('b')).toBeNull()
  })
})

test.each([
  [policy('p', {}), "policy 'p': its definition is empty"],
  [policy('p', { expires: 0 }), "policy 'p': expires has to be an integer from 1 to 315360000000"],
  [policy('p', { 'max-length': '10' }), 'max-length has to be an integer'],
  [policy('p', { overflow: 'explode' }), "overflow is 'explode', and has to be one of drop-head, reject-publish"],
  [policy('p', { 'dead-letter-exchange': 5 }), 'dead-letter-exchange has to be text'],
  [policy('p', { 'dead-letter-routing-key': 'ü'.repeat(128) }), 'has 256 bytes, at most 255 fit'],
  [policy('p', { expires: 1 }, { applyTo: 'cats' }), "apply-to is 'cats', and has to be one of all, exchanges, queues"],
  [policy('p', { expires: 1 }, { priority: 0.5 }), 'its priority has to be an integer'],
  [policy('p', { expires: 1 }, { virtualHost: 'h' }), "vhost 'h' not found"],
  [policy('', { expires: 1 }), 'the name of a policy has 1 to 255 bytes'],
])('a policy that makes no sense is refused: %j', async (command, text) => {
  const { channel, effective } = await open()
  expect(channel.refusal(command)).toContain(text)
  expect(effective('x')).toBeNull()
})

test('settings that nobody here knows are kept', async () => {
  const { effective } = await open(policy('p', { 'ha-mode': 'all', 'federation-upstream-set': 'all' }))
  expect(effective('x')?.definition).toEqual({ 'ha-mode': 'all', 'federation-upstream-set': 'all' })
})

describe('a policy that holds', () => {
  const bodies = (channel: CoreChannel): string[] => channel.drain('q')

  test('changes queues that are there, and those that come, until it goes', async () => {
    const { core, channel } = await open()
    channel.declareQueue('q')
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.ask(policy('p', { 'max-length': 2 }, { pattern: '^q' }))
    core.settle()
    expect(bodies(channel)).toEqual(['2', '3'])
    channel.declareQueue('q2')
    for (const body of ['1', '2', '3']) channel.publish('', 'q2', body)
    expect(channel.drain('q2')).toEqual(['2', '3'])
    channel.ask({ type: 'leveret.delete-policy', virtualHost: '/', name: 'p', operator: false })
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    expect(bodies(channel)).toEqual(['1', '2', '3'])
  })

  test('does not wind up the clock of a queue again, when another one changes', async () => {
    const { core, channel } = await open(policy('p', { expires: 1_000 }, { pattern: '^q' }))
    channel.declareQueue('q')
    core.clock.advance(600)
    channel.ask(policy('other', { expires: 5_000 }, { pattern: '^x' }))
    core.clock.advance(600)
    expect(channel.has('q')).toBe(false)
  })

  test('gives an exchange another way out', async () => {
    const { channel } = await open(
      policy('p', { 'alternate-exchange': 'amq.fanout' }, { applyTo: 'exchanges', pattern: '^x' }),
    )
    channel.declareExchange('x', 'direct')
    channel.declareQueue('q')
    channel.bind('q', 'amq.fanout')
    channel.publish('x', 'nowhere', 'found')
    expect(bodies(channel)).toEqual(['found'])
  })

  test('holds again after a restart', async () => {
    const folder = new SimFolder()
    const run = await folder.open()
    run.channel.give(policy('p', { 'max-length': 2 }, { pattern: '^q', priority: 1 }))
    await run.declare('q')
    folder.kill(true)
    const again = await folder.open()
    await again.publish('q', '1', '2', '3')
    expect(await again.take('q')).toEqual(['2', '3'])
    await again.close()
  })
})
