/** Sees to it that queues and exchanges are as their policies say, those that are there and those that come. */
import { type FieldTable, type PlainValue, toTable } from '../model/field-table.ts'
import type { Exchange } from './exchange.ts'
import type { EffectivePolicy, Policies, PolicyKind } from './policies.ts'
import type { Queue } from './queue.ts'
import type { State } from './state.ts'
import type { VirtualHost } from './virtual-host.ts'

export class PolicyKeeper {
  private readonly state: State
  private readonly policies: Policies
  /** The definition that each has, as text. What is as it should be is left alone. */
  private readonly applied = new WeakMap<Queue | Exchange, string>()

  constructor(state: State, policies: Policies) {
    this.state = state
    this.policies = policies
  }

  applyAll(): void {
    for (const host of this.state.virtualHosts.values()) {
      for (const queue of host.queues.values()) this.queueDeclared(host, queue)
      for (const exchange of host.exchanges.values()) this.exchangeDeclared(host, exchange)
    }
  }

  queueDeclared(host: VirtualHost, queue: Queue): void {
    // What an exchange delays is that exchange's own.
    if (queue.delaysFor !== null) return
    const policy = this.policies.effective(host.name, kindOf(queue.arguments), queue.name)
    if (this.isNew(queue, policy)) this.state.applyQueuePolicy(host, queue, tableOf(policy))
  }

  exchangeDeclared(host: VirtualHost, exchange: Exchange): void {
    if (exchange === host.default || exchange === host.control) return
    const policy = this.policies.effective(host.name, 'exchange', exchange.name)
    if (this.isNew(exchange, policy)) this.state.applyExchangePolicy(host, exchange, tableOf(policy))
  }

  private isNew(thing: Queue | Exchange, policy: EffectivePolicy | null): boolean {
    const text = policy === null ? '' : JSON.stringify(policy.definition)
    if ((this.applied.get(thing) ?? '') === text) return false
    this.applied.set(thing, text)
    return true
  }
}

function tableOf(policy: EffectivePolicy | null): FieldTable | null {
  if (policy === null) return null
  return toTable(policy.definition as { readonly [key: string]: PlainValue })
}

function kindOf(table: FieldTable): PolicyKind {
  const type = table.get('x-queue-type')?.value
  return type === 'quorum' || type === 'stream' ? type : 'classic'
}
