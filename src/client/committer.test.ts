// Commits on a scripted channel: bursts, tx mode, and the search for the one the broker refuses.
import { describe, expect, it } from 'vitest'
import { openWorld, type World } from '../../test/support/client-world.ts'
import { ScriptedChannel, ScriptedDriver } from '../../test/support/scripted-driver.ts'
import type { ChannelEvents } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { toField } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { clientLimits } from './client-limits.ts'
import { Committer } from './committer.ts'
import { Replies } from './replies.ts'
import type { CommitUnit, HandlerContext, Task } from './task.ts'
import type { Handler, ProcessOptions, Worker } from './worker-options.ts'

interface Stage {
  readonly world: World
  readonly driver: ScriptedDriver
  readonly worker: Worker
  /** The worker's present channel. */
  readonly channel: () => ScriptedChannel
  readonly deliver: (tag: number, id: string) => void
}

/** A worker that answers every message, so that every acknowledgement needs a commit. */
async function stage(
  commits: 'native' | 'tx',
  handler: Handler<unknown, unknown>,
  options: ProcessOptions = {},
): Promise<Stage> {
  const driver = new ScriptedDriver()
  const world = await openWorld({ driver, commits })
  const creating = world.bus.createQueue('jobs', { retry: { attempts: 1 }, deadLetter: false })
  await world.settle()
  ;(driver.channels[0] as ScriptedChannel).answer('queue.declare')
  const worker = (await world.run(creating)).process(handler, { concurrency: 10, ...options })
  const channel = (): ScriptedChannel => driver.channels.at(-1) as ScriptedChannel
  begin(channel())
  await world.settle()
  return { world, driver, worker, channel, deliver: (tag, id) => deliver(channel(), tag, id) }
}

function begin(channel: ScriptedChannel): void {
  channel.answer('basic.qos')
  const consume = channel.commands.find(({ command }) => command.type === 'basic.consume')
  channel.events.replied(consume?.id ?? 0, { type: 'basic.consume-ok', consumerTag: 'tag' })
  channel.events.flush()
}

function deliver(channel: ScriptedChannel, tag: number, id: string): void {
  const properties = encodeProperties({ replyTo: 'answers', messageId: id, correlationId: id })
  channel.events.delivered('tag', tag, false, Message.of('', 'jobs', properties, Buffer.from('1')))
}

/** A task that is settled and publishes nothing. */
function unit(messageId: string): CommitUnit {
  const nothing = (): void => {}
  const task = { attempt: 1, extra: null, allProperties: (): Properties => ({ messageId }) } as unknown as Task
  return { tasks: [task], publishes: null, pushTags: (tags) => void tags.push(1), committed: nothing, lose: nothing }
}

function commitOf(channel: ScriptedChannel, at: number): { acks: readonly number[]; answers: number } | undefined {
  const commit = channel.commits[at]
  return commit === undefined ? undefined : { acks: commit.acks, answers: commit.publishes.length }
}

function answerCommit(channel: ScriptedChannel): void {
  channel.events.replied(channel.commits.at(-1)?.id ?? 0, { type: 'ok' })
  channel.events.flush()
}

describe('a worker’s commits', () => {
  it('join what ended together, and wait for each other', async () => {
    const { channel, deliver: give } = await stage('native', () => 'done')
    for (const tag of [1, 2, 3]) give(tag, `m${tag}`)
    channel().events.flush()
    expect(commitOf(channel(), 0)).toEqual({ acks: [1, 2, 3], answers: 3 })
    for (const tag of [4, 5]) give(tag, `m${tag}`)
    channel().events.flush()
    expect(channel().commits).toHaveLength(1)
    answerCommit(channel())
    expect(commitOf(channel(), 1)).toEqual({ acks: [4, 5], answers: 2 })
    expect(channel().acked).toEqual([])
  })

  it('are bounded', async () => {
    const { channel, deliver: give } = await stage('native', () => 'done', { concurrency: 1, prefetch: 5_000 })
    for (let tag = 1; tag <= clientLimits.burstTasksMax + 5; tag++) give(tag, `m${tag}`)
    channel().events.flush()
    expect(commitOf(channel(), 0)?.acks).toHaveLength(clientLimits.burstTasksMax)
    answerCommit(channel())
    expect(commitOf(channel(), 1)?.acks).toHaveLength(5)
  })

  it('select tx mode when they first need it, and commit every acknowledgement from then on', async () => {
    const { world, channel, deliver: give } = await stage('tx', () => 'done')
    const plain = Message.of('', 'jobs', encodeProperties({}), Buffer.from('1'))
    channel().events.delivered('tag', 1, false, plain)
    channel().events.flush()
    expect(channel().acked).toEqual([1])
    give(2, 'm2')
    channel().events.flush()
    channel().events.delivered('tag', 3, false, plain)
    channel().events.flush()
    expect(channel().commits).toEqual([])
    channel().answer('tx.select')
    await world.settle()
    expect(channel().acked).toEqual([1])
    expect(commitOf(channel(), 0)).toEqual({ acks: [2, 3], answers: 1 })
  })

  it('find the one that the broker refuses, and go on with the others', async () => {
    const calls: (string | undefined)[] = []
    const {
      world,
      driver,
      channel,
      deliver: give,
    } = await stage('native', (message) => {
      calls.push(message.id)
    })
    for (const tag of [1, 2, 3]) give(tag, `m${tag}`)
    channel().events.flush()
    expect(commitOf(channel(), 0)?.acks).toEqual([1, 2, 3])
    const refuse = async (): Promise<void> => {
      channel().events.failed(channel().commits.at(-1)?.id ?? 0, new BrokerError('PRECONDITION_FAILED', 'no such'))
      await world.settle()
      begin(channel())
      await world.settle()
    }
    await refuse()
    expect(driver.channels).toHaveLength(3)
    // They come again, and are committed one by one.
    for (const tag of [1, 2, 3]) give(tag, `m${tag}`)
    channel().events.flush()
    expect(commitOf(channel(), 0)?.acks).toEqual([1])
    answerCommit(channel())
    expect(commitOf(channel(), 1)?.acks).toEqual([2])
    await refuse()
    expect(calls).toEqual(['m1', 'm2', 'm3', 'm1', 'm2', 'm3'])
    // The second was to blame: it counts as failed without its handler being called; there is one attempt, so it ends.
    for (const [tag, id] of [
      [1, 'm2'],
      [2, 'm3'],
    ] as const)
      give(tag, id)
    channel().events.flush()
    expect(calls.slice(6)).toEqual(['m3'])
    const { publishes = [] } = channel().commits[0] ?? {}
    expect(publishes.map((message) => message.body.toString())).toEqual([
      '{"error":"its commit was refused: PRECONDITION_FAILED - no such"}',
      '',
    ])
    expect(world.errors.every((error) => 'code' in error && error.code === 'E_CONNECTION_LOST')).toBe(true)
  })

  it('hold a refusal against the attempt that was refused, and no later one', async () => {
    const calls: (string | undefined)[] = []
    const { world, channel, deliver: give } = await stage('native', (message) => void calls.push(message.id))
    give(1, 'm1')
    channel().events.flush()
    channel().events.failed(channel().commits[0]?.id ?? 0, new BrokerError('PRECONDITION_FAILED', 'no such'))
    await world.settle()
    begin(channel())
    await world.settle()
    // Another worker had it meanwhile, and its attempt failed.
    const headers = new Map([['x-leveret-attempt', toField(2)]])
    const properties = encodeProperties({ replyTo: 'answers', messageId: 'm1', correlationId: 'm1', headers })
    channel().events.delivered('tag', 1, false, Message.of('', 'jobs', properties, Buffer.from('1')))
    channel().events.flush()
    expect(calls).toEqual(['m1', 'm1'])
  })

  it('remember refusals of messages that never come back up to a bound, and forget the oldest', () => {
    const committer = new Committer(new SimClock(), new Replies(), false)
    const { refusalsMax } = clientLimits
    for (let count = 0; count <= refusalsMax; count++) {
      committer.attach(new ScriptedChannel({} as ChannelEvents))
      committer.add(unit(`m${count}`))
      committer.commit()
      committer.blame(new BrokerError('PRECONDITION_FAILED', 'no such'))
      committer.detach()
    }
    expect(committer.takeRefusal('m0', 1)).toBeUndefined()
    for (let count = 1; count <= refusalsMax; count++) {
      expect(committer.takeRefusal(`m${count}`, 1)?.reason).toBe(
        'its commit was refused: PRECONDITION_FAILED - no such',
      )
    }
    expect(committer.hasRefusals).toBe(false)
  })

  it('leave room for others when the channel is gone while handlers listen for their signal', async () => {
    const calls: (string | undefined)[] = []
    const handler: Handler<unknown, unknown> = (message, context) => {
      calls.push(message.id)
      return new Promise((resolve) => context.signal.addEventListener('abort', resolve))
    }
    const { world, channel, deliver: give } = await stage('native', handler, { concurrency: 1 })
    for (let round = 1; round <= 2; round++) {
      give(1, `m${round}`)
      channel().events.flush()
      channel().events.failed(0, new BrokerError('PRECONDITION_FAILED', 'ack timeout'))
      await world.settle()
      begin(channel())
      await world.settle()
    }
    expect(calls).toEqual(['m1', 'm2'])
  })

  it('do not count when the channel is gone before the handler has ended', async () => {
    const finish: (() => void)[] = []
    const signals: AbortSignal[] = []
    const {
      world,
      channel,
      deliver: give,
    } = await stage('native', (_message, context) => {
      signals.push(context.signal)
      return new Promise<void>((resolve) => finish.push(resolve))
    })
    give(1, 'm1')
    channel().events.flush()
    channel().events.failed(0, new BrokerError('PRECONDITION_FAILED', 'ack timeout'))
    await world.settle()
    expect(signals[0]?.aborted).toBe(true)
    begin(channel())
    finish[0]?.()
    await world.settle()
    expect(channel().commits).toEqual([])
    expect(channel().acked).toEqual([])
  })

  it('do not count for a handler that looks only later, and it learns what became of its channel', async () => {
    const contexts: HandlerContext[] = []
    const handler: Handler<unknown, unknown> = (_message, context) => {
      contexts.push(context)
      return new Promise(() => {})
    }
    const { world, channel, deliver: give } = await stage('native', handler)
    give(1, 'm1')
    channel().events.flush()
    channel().events.failed(0, new BrokerError('PRECONDITION_FAILED', 'ack timeout'))
    await world.settle()
    expect(contexts[0]?.signal.reason).toMatchObject({
      code: 'E_CONNECTION_LOST',
      message: expect.stringContaining('the channel was closed: PRECONDITION_FAILED - ack timeout'),
    })
  })

  it('give up when every new channel fails as well', async () => {
    const { world, worker, channel, deliver: give } = await stage('native', () => 'done')
    const closed = worker.closed()
    closed.catch(() => {})
    for (let count = 0; count <= clientLimits.restartsMax; count++) {
      give(1, `m${count}`)
      channel().events.flush()
      channel().events.failed(channel().commits.at(-1)?.id ?? 0, new BrokerError('INTERNAL_ERROR', 'again'))
      await world.settle()
      if (count < clientLimits.restartsMax) begin(channel())
    }
    await expect(closed).rejects.toMatchObject({ code: 'INTERNAL_ERROR' })
  })
})
