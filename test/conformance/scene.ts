// What a case of the suite works with, and how cases are declared: once, for every engine.
import { afterAll, afterEach, beforeAll, describe, it } from 'vitest'
import type { Bus, Capabilities, IncomingMessage, Queue } from '../../src/index.ts'
import { type Engine, engines, type Limit, type Opened } from './engines.ts'

export interface Scene {
  readonly bus: Bus
  /** A name that no other case uses. */
  readonly name: (word?: string) => string
  /** A bus as another process would have it, closed after the case. */
  readonly another: () => Promise<Bus>
  /** An engine of its own, closed after the case. */
  readonly open: () => Promise<Opened>
}

interface CaseOptions {
  /** What not every engine has: see its `cannot` and `bus.capabilities()`. */
  readonly needs?: Need
}

type Need = Limit | keyof Capabilities

type Run = (scene: Scene) => Promise<void>
/** Declares one case: a sentence of behaviour. */
export type DeclareCase = (sentence: string, run: Run, options?: CaseOptions) => void

let names = 0

/** Declares the cases of a file for every engine. */
export function conformance(declare: (test: DeclareCase) => void): void {
  describe.each(engines)('$name', (engine) => {
    let opened: Opened
    let extra: { close(): Promise<void> }[] = []

    beforeAll(async () => {
      opened = await engine.open()
    })

    afterEach(async () => {
      for (const one of extra.reverse()) await one.close()
      extra = []
    })

    afterAll(() => opened.close())

    const keep = <One extends { close(): Promise<void> }>(one: One): One => {
      extra.push(one)
      return one
    }
    const scene: Scene = {
      get bus() {
        return opened.bus
      },
      name: (word = 'queue') => `${word}.${++names}`,
      another: async () => keep(await opened.another()),
      open: async () => keep(await engine.open()),
    }
    declare((sentence, run, { needs } = {}) => {
      it(sentence, async (context) => {
        const reason = needs === undefined ? null : whyNot(engine, opened.bus, needs)
        if (reason !== null) return context.skip(reason)
        await run(scene)
      })
    })
  })
}

/** Why the engine cannot run a case that needs this; null: it can. */
function whyNot(engine: Engine, bus: Bus, need: Need): string | null {
  if (need === 'restart') return engine.cannot[need] ?? null
  const { support, reason } = bus.capabilities()[need]
  return support === 'refused' ? (reason ?? 'refused') : null
}

/** Things that come one by one, to be awaited. */
export class Arrivals<Item> {
  readonly all: Item[] = []
  private wake: () => void = () => {}

  readonly add = (item: Item): void => {
    this.all.push(item)
    this.wake()
  }

  /** The first so many, when they are there. */
  async first(count: number): Promise<Item[]> {
    while (this.all.length < count) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.all.slice(0, count)
  }
}

/** Resolved by whoever holds it. */
export class Gate {
  readonly opened: Promise<void>
  open: () => void = () => {}

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve
    })
  }
}

/** Takes so many messages out, in order, as they come. */
export async function takeMessages<Data>(queue: Queue<Data>, count: number): Promise<IncomingMessage<Data>[]> {
  const taken: IncomingMessage<Data>[] = []
  if (count === 0) return taken
  for await (const message of queue.receive()) {
    taken.push(message)
    await message.ack()
    if (taken.length === count) break
  }
  return taken
}

/** Takes so many messages out, in order, as they come. */
export async function take<Data>(queue: Queue<Data>, count: number): Promise<Data[]> {
  return (await takeMessages(queue, count)).map(({ data }) => data)
}

/** Resolves with the code it rejects with; 'nothing' if it does not. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: { code?: string; message?: string }) => error.code ?? String(error.message),
  )
}

/** Retries without a noticeable pause. */
export const quickRetry = { attempts: 3, min: 1, max: 5 } as const
