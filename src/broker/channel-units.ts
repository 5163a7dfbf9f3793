/**
 * Publishes and settlements of one channel that take effect together: a transaction, or what a handler did. The turn has no end
 * in between, so all of it is in one frame of the log. What can go wrong goes wrong before anything changes.
 */
import { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Grants } from './grants.ts'
import { isAnswer } from './message-check.ts'
import type { Outbox } from './outbox.ts'
import type { Outstanding } from './outstanding.ts'
import type { BrokerParts, PublishingSession } from './parts.ts'
import { PlannedLoads } from './planned-loads.ts'
import type { PublishGate } from './publish-gate.ts'
import { isRetryRequest, readRetryRequest } from './retry-request.ts'
import { noQueue } from './topology.ts'
import { Transaction } from './transaction.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The session, as far as its publishes are concerned. */
interface UnitSession extends PublishingSession {
  readonly virtualHost: VirtualHost
  readonly grants: Grants | null
}

export class ChannelUnits {
  private readonly parts: BrokerParts
  private readonly session: UnitSession
  private readonly gate: PublishGate
  private readonly outstanding: Outstanding
  private readonly outbox: Outbox

  constructor(parts: BrokerParts, session: UnitSession, gate: PublishGate, outstanding: Outstanding, outbox: Outbox) {
    this.parts = parts
    this.session = session
    this.gate = gate
    this.outstanding = outstanding
    this.outbox = outbox
  }

  /** What a handler did. Throws PRECONDITION_FAILED for a delivery that is not outstanding, or is twice among them. */
  gather(acks: readonly number[], publishes: readonly Message[]): Transaction {
    const unit = new Transaction(null)
    for (const tag of acks) {
      this.outstanding.check(tag, unit)
      unit.settle(tag, 'acked')
    }
    for (const message of publishes) {
      if (isRetryRequest(message)) this.addRetry(unit, message)
      else unit.publish(message, false)
    }
    return unit
  }

  /** A delivery is to come back later, when the unit takes effect. Throws PRECONDITION_FAILED. */
  addRetry(unit: Transaction, request: Message): void {
    const { deliveryTag } = readRetryRequest(request)
    this.outstanding.check(deliveryTag, unit)
    unit.publish(request, false)
    unit.settledTags.add(deliveryTag)
  }

  /**
   * Publishes, then settles. True if something has to be durable. `needsTargets`: refused with NOT_FOUND if a message for a queue has
   * none, for it would be lost with the acknowledgement; whoever is answered may be gone.
   */
  apply(unit: Transaction, needsTargets: boolean): boolean {
    const { parts, session, gate } = this
    const { publisher } = parts
    this.check(unit, needsTargets)
    // First, so that all of it has one time.
    parts.tick.schedule()
    let needsDisk = false
    for (let at = 0; at < unit.publishes.length; at++) {
      const message = unit.publishes[at] as Message
      if (isRetryRequest(message)) {
        needsDisk = true
        this.outstanding.park(message)
        continue
      }
      const lsn = publisher.publish(session.virtualHost, gate.exchangeFor(message), message, session.grants)
      if (lsn !== 0) needsDisk = true
      if (unit.mandatory[at] === true && publisher.routed === 0) this.outbox.returned(message)
    }
    if (this.outstanding.settleAll(unit.settlements)) needsDisk = true
    parts.published(session)
    return needsDisk
  }

  /** A missing exchange, headers that cannot be read where somebody will look at them, a queue that is gone or has no room. */
  private check(unit: Transaction, needsTargets: boolean): void {
    const host = this.session.virtualHost
    for (const message of unit.publishes) {
      if (!isRetryRequest(message) && !this.gate.exchangeFor(message).routesByKey) message.decodeProperties()
    }
    if (needsTargets) for (const message of unit.publishes) checkTarget(host, message)
    if (host.refusingQueues > 0) this.checkRoom(host, unit)
  }

  /** Queues that refuse what is too much must have room for all of it. */
  private checkRoom(host: VirtualHost, unit: Transaction): void {
    const planned = new PlannedLoads()
    for (const message of unit.publishes) {
      if (isRetryRequest(message)) continue
      if (!this.parts.publisher.wouldRefuse(host, this.gate.exchangeFor(message), message, planned)) continue
      throw new BrokerError('PRECONDITION_FAILED', 'partial tx completion')
    }
  }
}

function checkTarget(host: VirtualHost, message: Message): void {
  const { exchange, routingKey } = message
  if (exchange !== '' || host.queues.has(routingKey) || host.replyQueues.has(routingKey)) return
  if (!isAnswer(message)) throw noQueue(host, routingKey)
}
