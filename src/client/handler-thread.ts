/** The program of a thread that runs handlers: it loads their file, and calls its default export for each message it is given. */
import { LeveretError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import type { ThreadPort, ThreadProgram } from '../platform/threads.ts'
import { decodeBody } from './body.ts'
import { Incoming } from './incoming.ts'
import { GiveUp, RetryLater } from './settlement.ts'
import { RunContext, type ThreadHandler } from './thread-context.ts'
import {
  type CarriedResult,
  carryError,
  type FromThread,
  type RunMessage,
  rebuildError,
  type ToThread,
} from './thread-messages.ts'

export interface ThreadData {
  /** The address of the handler's file. */
  readonly file: string
}

export const runInThread: ThreadProgram = async (port, data) => {
  let handler: ThreadHandler
  try {
    handler = await load((data as ThreadData).file)
  } catch (error) {
    return port.post({ kind: 'unusable', error: carryError(error) } satisfies FromThread)
  }
  new HandlerThread(port, handler).start()
}

async function load(file: string): Promise<ThreadHandler> {
  const { default: handler } = (await import(file)) as { readonly default?: unknown }
  if (typeof handler === 'function') return handler as ThreadHandler
  throw new LeveretError('E_BAD_OPTION', `its default export is ${typeof handler}, and has to be the handler`)
}

class HandlerThread {
  private readonly port: ThreadPort
  private readonly handler: ThreadHandler
  private readonly runs = new Map<number, RunContext>()

  constructor(port: ThreadPort, handler: ThreadHandler) {
    this.port = port
    this.handler = handler
  }

  start(): void {
    this.port.listen((message) => this.received(message as ToThread))
    this.post({ kind: 'loaded' })
  }

  private received(message: ToThread): void {
    if (message.kind === 'run') void this.run(message)
    else if (message.kind === 'abort') this.runs.get(message.run)?.abort(rebuildError(message.reason))
    else this.runs.get(message.run)?.answered(message.call, message.answer)
  }

  private async run(message: RunMessage): Promise<void> {
    const { run } = message
    const context = new RunContext(message, (told) => this.post(told))
    this.runs.set(run, context)
    try {
      const value = await this.handler(incomingOf(message), context)
      context.over()
      this.returned(run, resultOf(value), context)
    } catch (error) {
      context.over()
      this.post({ kind: 'threw', run, error: carryError(error) })
    } finally {
      this.runs.delete(run)
    }
  }

  private returned(run: number, result: CarriedResult, { sends }: RunContext): void {
    try {
      this.post({ kind: 'returned', run, result, sends })
    } catch (error) {
      const text = `the result of a handler in a thread cannot be copied: ${(error as Error).message}`
      throw new LeveretError('E_BAD_DATA', text, error)
    }
  }

  private post(message: FromThread): void {
    this.port.post(message)
  }
}

function resultOf(value: unknown): CarriedResult {
  if (value instanceof RetryLater) return { kind: 'retry', after: value.after }
  if (value instanceof GiveUp) return { kind: 'dead-letter', reason: value.reason }
  return { kind: 'value', value }
}

function incomingOf({
  bytes,
  propertiesBytes,
  exchange,
  routingKey,
  redelivered,
  checked,
  queue,
}: RunMessage): Incoming {
  const source = Buffer.from(bytes)
  const end = source.length
  const message = new Message(exchange, routingKey, source, 0, propertiesBytes, propertiesBytes, end, true)
  const properties = message.decodeProperties()
  const data = checked === null ? decodeBody(message, properties, `a message of queue '${queue}'`) : checked.data
  return new Incoming(message, redelivered, data, properties)
}
