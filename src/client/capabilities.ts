/** What the engine behind a bus can do, feature by feature, and what to do where it cannot. */

export type Support =
  /** The broker does it. */
  | 'native'
  /** The client does it, with the same promise. */
  | 'emulated'
  /** It works, and promises less: `reason` says what. */
  | 'degraded'
  /** It is refused when it is asked for: `reason` says why, and what comes nearest. */
  | 'refused'

export interface Capability {
  readonly support: Support
  /** Null for what is native. */
  readonly reason: string | null
}

export type Feature =
  | 'storage'
  | 'delay'
  | 'priority'
  | 'ttl'
  | 'deadline'
  | 'keys'
  | 'idempotency'
  | 'debounce'
  | 'receipts'
  | 'inbox'
  | 'atomicCommit'
  | 'retry'
  | 'redrive'
  | 'cancel'
  | 'pause'
  | 'peek'
  | 'stats'
  | 'events'
  | 'calls'
  | 'children'
  | 'schedules'
  | 'serve'

export type Capabilities = { readonly [Name in Feature]: Capability }

const native: Capability = { support: 'native', reason: null }

function less(support: Exclude<Support, 'native'>, reason: string): Capability {
  return { support, reason }
}

/** `isRemote`: over amqp://. `isLeveret`: the broker there, or here, is one. */
export function capabilitiesOf(isRemote: boolean, isLeveret: boolean, inMemory: boolean): Capabilities {
  const local = isRemote ? less('refused', 'a bus over amqp:// is served by its broker: give others its URL') : native
  const disk = inMemory ? less('degraded', "'memory:' keeps nothing beyond its process: 'file:./data' does") : native
  const both = {
    priority: native,
    ttl: native,
    redrive: less('emulated', 'the client moves them, one commit for some'),
  }
  if (isLeveret) {
    return {
      ...both,
      storage: disk,
      delay: native,
      deadline: native,
      keys: native,
      idempotency: native,
      debounce: native,
      receipts: native,
      inbox: native,
      atomicCommit: native,
      retry: native,
      cancel: native,
      pause: native,
      peek: native,
      stats: native,
      events: native,
      calls: native,
      children: native,
      schedules: native,
      serve: local,
    }
  }
  const noWord = 'AMQP has no word for it, and this broker is no Leveret'
  return {
    ...both,
    storage: native,
    delay: less(
      'refused',
      `${noWord}: an exchange of type x-delayed-message, or a queue with a ttl and a dead-letter exchange`,
    ),
    deadline: less('emulated', 'workers look at it, and messages expire at the head of the queue alone'),
    keys: less('refused', `${noWord}: a queue per key, or a single active consumer`),
    idempotency: less('refused', `${noWord}: let the worker remember what it has done`),
    debounce: less('refused', noWord),
    receipts: less(
      'degraded',
      'a worker that is no Leveret client tells nothing but a reply, and nobody tells of expiry',
    ),
    inbox: native,
    atomicCommit: less('degraded', 'tx is atomic for one queue at a time: after a crash a handler may have sent twice'),
    retry: less('degraded', 'the worker holds the message during the pause, and a crash forgets that attempt'),
    cancel: less('refused', noWord),
    pause: less('refused', `${noWord}: close the workers`),
    peek: less('refused', noWord),
    stats: less('refused', 'AMQP has no statistics: queue.count() gives ready messages and consumers everywhere'),
    events: native,
    calls: less('degraded', 'a request that is given up while it waits is not taken back: it ends with its timeout'),
    children: less('refused', `${noWord}: send the parent when its children have answered`),
    schedules: less('refused', `${noWord}: let one process of yours send by its own clock`),
    serve: local,
  }
}
