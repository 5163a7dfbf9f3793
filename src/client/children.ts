/**
 * Parents and children. A parent waits in a queue of its own, where the answers of its children gather (broker/gathering.ts), and
 * comes to the queue it was sent to when all of them are there:
 *
 *     send(data, { children }) → one commit: parent → leveret.gather.<id>, each child → its queue, with reply_to leveret.gather.<id>
 *     last answer              → the broker passes the parent on
 *     the parent's handler     → context.children has the answers; with its acknowledgement that queue goes
 */
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable, toField, toTable } from '../model/field-table.ts'
import { gatherArgument, gatheredHeader, gatherToArgument } from '../model/gathering.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { failureOf, readAnswer } from './answers.ts'
import type { BusParts } from './bus-parts.ts'
import type { ChildOutcome } from './child-outcome.ts'
import { clientLimits } from './client-limits.ts'
import { checkContract, type QueueContract } from './contract.ts'
import { declaration } from './declare-queue.ts'
import { headerNames, textHeader, withHeaders } from './headers.ts'
import { checkOptionNames, isRecord, shown } from './names.ts'
import { isOpened, type Outlet, openedOutlet, type SendTarget } from './outlet.ts'
import type { Outgoing } from './pending-send.ts'
import { Queued } from './queued-message.ts'
import { Replies } from './replies.ts'
import { type AnyOptions, childNames, type SendOptions } from './send-options.ts'
import type { Sent } from './sent.ts'

/** A message that is sent with its parent, and processed before it. */
export interface Child {
  readonly to: SendTarget | QueueContract
  readonly data: unknown
  readonly options: ChildOptions
}

export interface ChildOptions extends Omit<SendOptions, 'signal' | 'idempotencyKey' | 'throttle' | 'debounce'> {
  /** A child may be a parent, too. */
  readonly children?: readonly Child[]
  readonly childFailure?: ChildFailure
}

/**
 * What a child that fails for good does to its parent. 'fail', the default: that goes to its dead-letter queue, when all children
 * have ended. 'spare': the parent is processed all the same, and finds the failure among the results.
 */
export type ChildFailure = 'fail' | 'spare'

/** Said of a parent. */
export interface ParentOptions {
  /** Messages that are processed before this one: its handler gets their results from `context.children`. See `child`. */
  readonly children?: readonly Child[]
  readonly childFailure?: ChildFailure
}

/**
 * A child for the `children` of a send: `child(resize, { file: 'a.png' })`. This bus has opened its queue. Throws E_BAD_OPTION.
 */
export function child<Input>(
  to: SendTarget<Input> | QueueContract<Input, unknown, unknown, unknown>,
  data: Input,
  options: ChildOptions = {},
): Child {
  const one: Child = { to: to as Child['to'], data, options }
  checkChild('child', one)
  return one
}

/** Throws E_BAD_OPTION. */
function checkChild(where: string, { to, options }: Child): void {
  if (!isOpened(to)) checkContract(where, 'queue', to)
  checkOptionNames(`${where} for queue '${to.name}'`, options, [...childNames, 'children', 'childFailure'])
}

const listOfChildren = 'a list of what child(queue, data) gave'

/** In a parent: what to do if a child failed. */
const childFailureHeader = 'x-leveret-child-failure'
/** A family in which nothing happens for so long is forgotten. */
const forgottenAfterMs = 2_592_000_000

/** A parent that is to be sent, and its own answers' address; undefined: it is nobody's child. */
interface Planned {
  readonly messages: Message[]
  readonly gathers: { readonly name: string; readonly count: number; readonly to: string }[]
}

export class Families {
  private readonly parts: BusParts
  private readonly queues: ReadonlyMap<string, Outlet>
  private line: CommitLine | null = null

  /** `queues`: those that the bus has opened, by name. */
  constructor(parts: BusParts, queues: ReadonlyMap<string, Outlet>) {
    this.parts = parts
    this.queues = queues
  }

  /** Resolves when parent and children are stored, all of them or none. */
  async send(outlet: Outlet, data: unknown, options: AnyOptions & ParentOptions): Promise<Sent> {
    const { children = [], childFailure, ...others } = options
    const where = `sending to queue '${outlet.name}'`
    if (!this.parts.isLeveret) {
      const text = `${where}: this broker is no Leveret, and no parent can wait there for its children: send the parent when they are done`
      throw new LeveretError('E_UNSUPPORTED', text)
    }
    if (others.idempotencyKey !== undefined || others.throttle !== undefined || others.debounce !== undefined) {
      throw new LeveretError('E_BAD_OPTION', `${where}: with children there is no idempotencyKey, throttle or debounce`)
    }
    others.signal?.throwIfAborted()
    const outgoing = outlet.prepareNow(data, others)
    try {
      const ready = outgoing.receipt === null ? null : this.parts.receipts.opened(outgoing.receipt.sender)
      if (ready !== null) await ready
      const planned: Planned = { messages: [], gathers: [] }
      this.plan(planned, outlet.name, outgoing, children, childFailure, null, [])
      await this.store(planned)
    } catch (error) {
      outgoing.receipt?.forget()
      throw error
    }
    outgoing.receipt?.stored()
    return outgoing.sent
  }

  private plan(
    planned: Planned,
    to: string,
    { message: made }: Outgoing,
    children: readonly Child[],
    childFailure: ChildFailure = 'fail',
    answersTo: { readonly name: string; readonly index: number } | null,
    ancestors: readonly (readonly Child[])[],
  ): void {
    const where = `sending to queue '${to}'`
    if (!Array.isArray(children)) {
      throw new LeveretError(
        'E_BAD_OPTION',
        `${where}: children is ${shown(children)}, and has to be ${listOfChildren}`,
      )
    }
    for (const [at, one] of (children as unknown[]).entries()) {
      if (!isRecord(one)) {
        throw new LeveretError('E_BAD_OPTION', `${where}: children[${at}] is ${shown(one)}: it takes ${listOfChildren}`)
      }
      checkChild(`${where}: children[${at}]: child`, one as unknown as Child)
    }
    if (ancestors.includes(children)) {
      throw new LeveretError('E_BAD_OPTION', `${where}: a child is among its own children: give each a list of its own`)
    }
    if (ancestors.length > clientLimits.generationsMax) {
      const text = `${where}: a family has at most ${clientLimits.generationsMax} generations: send the next from a handler`
      throw new LeveretError('E_BAD_OPTION', text)
    }
    if (childFailure !== 'fail' && childFailure !== 'spare') {
      throw new LeveretError(
        'E_BAD_OPTION',
        `${where}: childFailure is ${shown(childFailure)}, and has to be 'fail' or 'spare'`,
      )
    }
    if (planned.messages.length + children.length > limits.gatherMax) {
      throw new LeveretError(
        'E_BAD_OPTION',
        `${where}: a family has at most ${limits.gatherMax} messages: make several`,
      )
    }
    const message = typeof made === 'function' ? made() : made
    const properties = message.decodeProperties()
    if (answersTo !== null) {
      properties.replyTo = answersTo.name
      properties.correlationId = String(answersTo.index)
      properties.headers = withHeaders(properties.headers, { [headerNames.receipt]: 'processed' })
    }
    properties.deliveryMode = 2
    if (children.length === 0) {
      planned.messages.push(Message.of('', to, encodeProperties(properties), message.body))
      return
    }
    const name = `leveret.gather.${properties.messageId as string}`
    planned.gathers.push({ name, count: children.length, to })
    if (properties.headers?.has(headerNames.delay) === true) {
      throw new LeveretError('E_BAD_OPTION', `${where}: a parent waits for its children and has no delay: delay those`)
    }
    const headers = withHeaders(properties.headers, { [childFailureHeader]: childFailure })
    // Before its children, so that it is the first in that queue.
    planned.messages.push(Message.of('', name, encodeProperties({ ...properties, headers }), message.body))
    for (const [index, { to: target, data, options }] of children.entries()) {
      const { children: own = [], childFailure: ownFailure, ...sendOptions } = options
      const outgoing = openedOutlet(this.queues, target, where).prepareNow(data, sendOptions)
      this.plan(planned, target.name, outgoing, own, ownFailure, { name, index }, [...ancestors, children])
    }
  }

  private async store({ messages, gathers }: Planned): Promise<void> {
    const { control, commits } = this.parts
    const made: string[] = []
    try {
      // Over AMQP a commit takes effect although one of its messages has nowhere to go.
      if (commits === 'tx') await this.needQueues(messages, gathers)
      for (const { name, count, to } of gathers) {
        const table = toTable({ [gatherArgument]: count, 'x-expires': forgottenAfterMs })
        await control.execute(declaration(name, true, new Map([...table, [gatherToArgument, toField(to)]])))
        made.push(name)
      }
      this.line ??= new CommitLine(this.parts, () => {
        this.line = null
      })
      await this.line.commit(messages)
    } catch (error) {
      for (const queue of made) this.forget(queue)
      throw error
    }
  }

  /** Rejects with NOT_FOUND. */
  private async needQueues(messages: readonly Message[], gathers: Planned['gathers']): Promise<void> {
    const names = new Set([...messages.map(({ routingKey }) => routingKey), ...gathers.map(({ to }) => to)])
    for (const { name } of gathers) names.delete(name)
    for (const name of names) {
      await this.parts.control.execute({ ...declaration(name, true, emptyTable), passive: true })
    }
  }

  /** The answers of a parent's children, in the order of those; null: the message is no parent. */
  async outcomesFor(properties: Properties): Promise<ChildOutcome[] | null> {
    const queue = textHeader(properties.headers, gatheredHeader)
    if (queue === undefined) return null
    const outcomes: ChildOutcome[] = []
    for (let skip = 0; ; ) {
      const limit = clientLimits.peekAtOnce
      const reply = await this.parts.control.execute({ type: 'leveret.peek', queue, limit, skip, state: 'ready' })
      const messages = reply.type === 'leveret.messages' ? reply.messages : []
      for (const peeked of messages) {
        const outcome = outcomeOf(new Queued(peeked, queue), peeked.message)
        if (outcome !== null) outcomes[outcome.index] = outcome.outcome
      }
      skip += messages.length
      const isAll = reply.type !== 'leveret.messages' || (messages.length < limit && !reply.more)
      if (messages.length === 0 || isAll) return outcomes
    }
  }

  /** The parent is done with: nobody needs the answers any more. */
  forget(queue: string): void {
    const command = { type: 'queue.delete', queue, ifUnused: false, ifEmpty: false } as const
    this.parts.control.execute(command).catch(() => {})
  }

  close(): void {
    this.end(new LeveretError('E_CLOSED', 'the bus is closed'))
  }

  /** The session is gone: whoever waits for a family to be stored is told so. */
  end(error: LeveretError): void {
    this.line?.end(error)
  }
}

/** The failure that its parent shares; null: it may be processed. */
export function failureOfChildren(properties: Properties, outcomes: readonly ChildOutcome[]): string | null {
  if (textHeader(properties.headers, childFailureHeader) === 'spare') return null
  const at = outcomes.findIndex((one) => one.error !== null)
  return at < 0 ? null : `child ${at} has failed: ${outcomes[at]?.error?.message}`
}

export function gatherQueueOf(properties: Properties): string | undefined {
  return textHeader(properties.headers, gatheredHeader)
}

function outcomeOf(
  queued: Queued,
  message: Message,
): { readonly index: number; readonly outcome: ChildOutcome } | null {
  const answer = readAnswer(message)
  const index = Number(answer?.correlationId)
  if (answer === null || !Number.isInteger(index) || index < 0) return null
  const { word } = answer
  const queue = textHeader(answer.properties.headers, headerNames.queue) ?? ''
  if (word !== 'processed') {
    const status = word === 'expired' || word === 'dead-lettered' ? word : 'failed'
    return { index, outcome: { queue, status, result: undefined, error: failureOf(answer, queue) } }
  }
  if (queued.bytes > limits.bodyInlineBytesMax) {
    const text = `the result of a child in queue '${queue}' has ${queued.bytes} bytes: let it return where the result is`
    return {
      index,
      outcome: { queue, status: 'processed', result: undefined, error: new LeveretError('E_BAD_DATA', text) },
    }
  }
  return { index, outcome: { queue, status: 'processed', result: queued.data, error: null } }
}

/** A channel for commits without acknowledgements, one after the other. */
class CommitLine implements ChannelEvents {
  private readonly lost: () => void
  private readonly replies = new Replies()
  private readonly channel: Channel
  private last: Promise<unknown>
  /** Keys of messages that came back. */
  private unroutable: string[] = []

  constructor(parts: BusParts, lost: () => void) {
    this.lost = lost
    this.channel = parts.session.openChannel(this)
    this.last = parts.commits === 'tx' ? this.replies.execute(this.channel, { type: 'tx.select' }) : Promise.resolve()
  }

  commit(messages: readonly Message[]): Promise<void> {
    const run = async (): Promise<void> => {
      this.unroutable = []
      await this.replies.wait((id) => this.channel.commit(id, [], messages))
      const [queue] = this.unroutable
      if (queue === undefined) return
      const text = `queue '${queue}' is gone, and a message of a family with it: bus.createQueue again`
      throw new LeveretError('E_UNROUTABLE', text)
    }
    const done = this.last.then(run)
    this.last = done.catch(() => {})
    return done
  }

  end(error: LeveretError): void {
    this.lost()
    this.replies.failAll(error)
    this.channel.close()
  }

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  failed(_id: number, error: BrokerError): void {
    this.lost()
    this.channel.close()
    this.replies.failAll(error)
  }

  returned({ routingKey }: Message): void {
    this.unroutable.push(routingKey)
  }

  delivered(): void {}

  confirmed(): void {}

  cancelled(): void {}

  flush(): void {}
}
