/** One process of a history of the typed API: workers at all queues, what it sends, and the inbox it reads. */
import type { Bus } from '../../../client/bus.ts'
import type { InboxIterator } from '../../../client/inbox-reader.ts'
import { AppProcess, type Place } from '../app-process.ts'
import { isLoss } from '../expected-errors.ts'
import type { Letter, LetterData, Mark, Word } from './ledger.ts'
import { LetterHandlers, type WorkingParty } from './letter-handlers.ts'
import { LetterSender } from './letter-sender.ts'
import type { QueuePlan } from './plan.ts'
import { type ApiWorld, expiredQueue, heardQueue, marksQueue, scheduledQueue, type WorkQueue } from './world.ts'

export class ApiProcess extends AppProcess<ApiWorld> implements WorkingParty {
  readonly queues: Map<string, WorkQueue> = new Map()
  private readonly letters: LetterSender
  private readonly handlers: LetterHandlers

  constructor(world: ApiWorld, place: Place, bus: Bus) {
    super(world, place, bus)
    this.letters = new LetterSender(world, this)
    this.handlers = new LetterHandlers(world, this, this.letters)
  }

  /** Sends it, once. */
  send(letter: Letter): Promise<void> {
    return this.letters.send(letter)
  }

  /** Closes the worker of a queue in good order, and starts another. */
  changeWorker(plan: QueuePlan): Promise<void> {
    return this.handlers.changeWorker(plan)
  }

  override async readInbox(): Promise<void> {
    await this.takeFrom(this.bus.receipts({ sender: this.sender, wait: false }))
  }

  override async begin(): Promise<void> {
    const { bus, world } = this
    const { plan, prng } = world
    await bus.createQueue(expiredQueue)
    await bus.createQueue(marksQueue)
    await bus.createQueue(heardQueue)
    await bus.importDefinitions({ bindings: [{ ...eventBinding, arguments: {} }] })
    for (const queue of plan.queues) this.queues.set(queue.name, await this.create(queue))
    for (const queue of plan.queues) this.handlers.work(queue)
    if (plan.schedules.length > 0) await this.schedule()
    const reads = prng.below(3)
    if (reads === 0) await this.readInbox()
    else if (reads === 1) void this.keepReading()
  }

  private async schedule(): Promise<void> {
    const { bus, world } = this
    await bus.createQueue(scheduledQueue)
    for (const { name, when } of world.plan.schedules) {
      await bus.schedule(name, when, scheduledQueue, { uid: name }, { missed: 'all' })
      world.ledger.scheduled.add(name)
    }
  }

  private async keepReading(): Promise<void> {
    try {
      await this.takeFrom(this.bus.receipts({ sender: this.sender }))
    } catch (error) {
      if (!isLoss(error)) this.world.complain('exception', `reading the inbox of ${this.name}: ${String(error)}`)
    }
  }

  private async takeFrom(inbox: InboxIterator): Promise<void> {
    const { world } = this
    for (;;) {
      const { done, value } = await inbox.next()
      if (done === true || this.isDead) return
      const { id, status, result, error } = value
      const mark = result as Mark | undefined
      world.note(`the inbox of ${this.name} says ${status} of ${id}`)
      if (world.prng.chance(0.2)) await world.test.sleep(world.prng.below(30))
      // From here on it does not come again: asking for the next one acknowledges it.
      if (this.isDead) return
      const call = mark?.call ?? null
      const uid = mark?.uid ?? world.ledger.byMessageId.get(id)?.uid ?? ''
      const text = error?.message ?? ''
      const word: Word = {
        status,
        call,
        text,
        atMs: world.nowMs(),
        life: this.life,
        via: 'inbox',
        id,
        isSure: !this.isClosing,
      }
      world.ledger.letters.get(uid)?.inboxWords.push(word)
    }
  }

  private create(plan: QueuePlan): Promise<WorkQueue> {
    const { retry, keys } = plan
    const { attempts, backoff, jitter } = retry
    return this.bus.createQueue<LetterData, Mark | undefined>(plan.name, {
      retry: { attempts, backoff, jitter, min: retry.minMs, max: retry.maxMs },
      ...(plan.hasDeadLetters ? {} : { deadLetter: false }),
      ...(keys === null ? {} : { keys }),
      ...(plan.hasPriorities ? { maxPriority: 3 } : {}),
      ...(plan.maxLength === null ? {} : { maxLength: plan.maxLength, overflow: 'reject' }),
      ...(plan.keepsExpired
        ? { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': expiredQueue } }
        : {}),
    })
  }
}

const eventBinding = {
  source: 'amq.topic',
  vhost: '/',
  destination: heardQueue,
  destination_type: 'queue',
  routing_key: 'letters.#',
}
