/**
 * One seed, one history of letters: messages that expire, are rejected, go round through dead-letter exchanges and keep the
 * order of their keys, while the broker is crashed and opened again.
 *
 * It stands beside the simulator, not in it: when something expires is the broker's to say, so the reference, which knows
 * each next word, cannot be asked. Here is known what may have become of each letter, and that must be the case.
 */
import { assert } from '../../lib/assert.ts'
import { Prng } from '../../lib/prng.ts'
import type { Channel, ChannelEvents, Session } from '../../model/channel.ts'
import type { Reply } from '../../model/command.ts'
import { emptyTable } from '../../model/field-table.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { crashDisk, cutPower, endProcess } from './crash.ts'
import { type OpenedBroker, openBroker, readState, silentSession } from './found-state.ts'
import type { Letter, Station } from './letter.ts'
import { declare, LetterClient } from './letter-client.ts'
import { type LetterPlan, makeLetterPlan } from './letter-plan.ts'
import { LetterPort } from './letter-port.ts'
import { Letters } from './letters.ts'
import { type Ending, pick } from './plan.ts'
import { SimProcess } from './sim-process.ts'
import type { SimulationOptions, SimulationResult } from './simulator.ts'
import { Trace, Violation } from './trace.ts'
import { Trouble } from './trouble.ts'

/** Runs the history of one seed to its end or to the first violation. */
export async function simulateLetters(seed: number, options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new LetterSimulation(seed, options)
  try {
    await simulation.run()
  } catch (error) {
    simulation.trace.violated(asViolation(error))
  }
  return simulation.result()
}

class LetterSimulation {
  readonly trace: Trace
  private readonly seed: number
  private readonly options: SimulationOptions
  private readonly prng: Prng
  private readonly plan: LetterPlan
  private readonly clock = new SimClock()
  private readonly disk: SimDisk
  private readonly trouble: Trouble
  private readonly network: SimNetwork
  private readonly machine = new SimMachine()
  private readonly letters: Letters
  private process: SimProcess | null = null
  private opened: OpenedBroker | null = null
  private port: LetterPort | null = null
  private clients: LetterClient[] = []
  private places: ReadonlyMap<Letter, Station> = new Map()
  private durableLsn = 0
  private wantsProbe = false
  private isLastLife = false
  private crashes = 0
  private recoveries = 0
  private probes = 0

  constructor(seed: number, options: SimulationOptions) {
    this.seed = seed
    this.options = options
    this.prng = new Prng(seed)
    this.plan = makeLetterPlan(this.prng)
    this.trace = new Trace(this.clock, options.print)
    this.disk = new SimDisk(this.clock, this.prng.nextU32(), { latencyMsMax: this.plan.diskLatencyMs })
    this.trouble = new Trouble(this.disk, this.prng, this.trace)
    this.network = new SimNetwork(this.clock, new Prng(this.prng.nextU32()))
    this.letters = new Letters(this.plan.queues, this.trace)
  }

  result(): SimulationResult {
    return {
      seed: this.seed,
      hash: this.trace.hash,
      transport: 'direct',
      violation: this.trace.violation,
      crashes: this.crashes,
      recoveries: this.recoveries,
      probes: this.probes,
      damages: 0,
      diskOperations: this.disk.operations,
      publishes: this.letters.all.length,
      confirms: this.letters.all.filter(({ isConfirmed }) => isConfirmed).length,
    }
  }

  async run(): Promise<void> {
    this.trace.add(`letters ${this.seed}: ${JSON.stringify(this.plan)}`)
    for (let life = 1; life <= this.plan.incarnations; life++) {
      const ending = pick(this.prng, this.plan.endings)
      this.trace.add(`-- life ${life}, to end with ${ending}`)
      this.trouble.plan(ending)
      if (await this.open()) await this.live(ending)
      this.trouble.calm()
      await this.examine()
    }
    this.trace.add('-- the last life, without trouble')
    await this.lastLife()
  }

  // ------------------------------------------------------------------------------------------------- a life

  private async open(): Promise<boolean> {
    const { plan, clock, disk, network, machine, prng, letters, trace } = this
    this.process = new SimProcess(clock, disk, network, machine, '127.0.0.1', prng.nextU32())
    const opened = await this.settled(openBroker(this.process, plan.storage, Number.MAX_SAFE_INTEGER))
    if (opened === null) {
      this.crash()
      return false
    }
    this.opened = opened
    this.recoveries++
    letters.adopt(this.places)
    const { broker, store } = opened
    trace.add(`opened at frame ${store.openLsn}: ${broker.report.messages} messages`)
    broker.onFailure((error) => trace.violated(asViolation(error)))
    broker.onDamage((error) => trace.violated(asViolation(error)))
    const promised = (): void => {
      if (prng.chance(plan.probeChance)) this.wantsProbe = true
    }
    this.port = new LetterPort(broker, { letters, trace, clock, frames: store, promised })
    return true
  }

  private async live(ending: Ending): Promise<void> {
    const { plan, prng, clock } = this
    for (let number = 0; number < plan.clients; number++) {
      const session = await this.openSession()
      if (session === null) break
      const clientClock = (this.process as SimProcess).clock
      const client = new LetterClient(session, this.letters, plan, new Prng(prng.nextU32()), clientClock)
      this.clients.push(client)
      client.start()
    }
    await this.stepWhile(
      () => !this.trouble.isCrashDue && this.clients.some(({ stepsLeft }) => stepsLeft > 0),
      clock.monotonicMs() + 60_000,
    )
    await this.stepWhile(() => !this.trouble.isCrashDue, clock.monotonicMs() + pick(prng, [0, 5, 500, 4_000]))
    if (this.trouble.isCrashDue || ending !== 'close') this.crash()
    else await this.close()
  }

  private async openSession(): Promise<Session | null> {
    const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
    return await this.settled((this.port as LetterPort).openSession(login, silentSession))
  }

  private async close(): Promise<void> {
    const closing = (this.port as LetterPort).close().then(() => true)
    if ((await this.settled(closing)) === null) return this.crash()
    this.end()
    endProcess(this.disk)
  }

  private crash(): void {
    this.crashes++
    const isProcessOnly = this.trouble.isProcessOnly ?? this.prng.chance(0.3)
    this.end()
    if (isProcessOnly) {
      this.trace.add('CRASH process: the page cache survives')
      endProcess(this.disk)
      return
    }
    this.trace.add(`CRASH ${cutPower(this.disk, this.prng)}`)
    this.machine.reboot()
  }

  /** What is left of the broker is heard no more. */
  private end(): void {
    if (this.opened !== null) this.durableLsn = this.opened.store.durableLsn
    this.opened = null
    if (this.port !== null) this.port.isDead = true
    this.port = null
    for (const client of this.clients) client.stop()
    this.clients = []
    this.process?.kill()
    this.process = null
  }

  // ------------------------------------------------------------------------------------------------- steps

  private async stepWhile(goesOn: () => boolean, untilMs: number): Promise<void> {
    while (goesOn() && (await this.step(untilMs)));
  }

  private async step(untilMs: number): Promise<boolean> {
    const happened = await this.clock.step(untilMs)
    this.letters.latestMs = Math.max(this.letters.latestMs, this.clock.realtimeMs())
    const uncaught = this.options.takeUncaught()
    if (this.trace.violation !== null) throw this.trace.violation
    if (uncaught != null) throw asViolation(uncaught)
    if (this.wantsProbe && this.opened !== null && !this.trouble.isCrashDue && !this.isLastLife) await this.probe()
    this.wantsProbe = false
    if (this.prng.chance(this.plan.clockTrouble / 4)) await this.setClock()
    return happened
  }

  /** The wall clock is set when no turn is under way: the broker reads it once in a turn. */
  private async setClock(): Promise<void> {
    while (await this.clock.step(this.clock.monotonicMs()));
    const byMs = (this.prng.next() - 0.3) * 3_000
    this.trace.add(`the wall clock is set by ${byMs.toFixed(0)} ms`)
    this.clock.jumpRealtime(byMs)
    this.letters.latestMs = Math.max(this.letters.latestMs, this.clock.realtimeMs())
  }

  /** Null: a crash is due before it is settled. */
  private async settled<T>(promise: Promise<T>): Promise<T | null> {
    let isSettled = false
    const mark = (): void => {
      isSettled = true
    }
    promise.then(mark, mark)
    await this.stepWhile(() => !isSettled && !this.trouble.isCrashDue, this.clock.monotonicMs() + 600_000)
    if (this.trouble.isCrashDue) return null
    if (!isSettled) throw new Violation('liveness', 'the broker does not open or close within ten minutes')
    return await promise
  }

  // ------------------------------------------------------------------------------------------------- checks

  /** What if the power went now? Tried on a copy; the history goes on. */
  private async probe(): Promise<void> {
    this.probes++
    const clock = lookingClock()
    const copy = this.disk.clone(clock, this.prng.nextU32())
    const { how } = crashDisk(copy, this.prng)
    this.trace.add(`probe: ${how}`)
    const { durableLsn } = (this.opened as OpenedBroker).store
    this.letters.check(await readState(clock, copy, this.plan.storage), durableLsn)
  }

  /** The broker is gone; is what it promised on the disk? */
  private async examine(): Promise<void> {
    const clock = lookingClock()
    const copy = this.disk.clone(clock, this.prng.nextU32())
    this.places = this.letters.check(await readState(clock, copy, this.plan.storage), this.durableLsn)
    this.trace.add(`examined: ${this.places.size} letters`)
  }

  /** Everything expires in its time, everything else can be got, and then nothing is left. */
  private async lastLife(): Promise<void> {
    const { letters, plan, clock } = this
    this.isLastLife = true
    assert(await this.open(), 'without trouble the broker opens')
    const session = (await this.openSession()) as Session
    const last = new LastReader()
    const channel = session.openChannel(last)
    for (const queue of plan.queues) declare(channel, queue)
    const finite = plan.queues.map(({ ttlMs }) => ttlMs).filter((ttlMs) => ttlMs < Number.POSITIVE_INFINITY)
    const longestMs = Math.max(0, ...finite) * (plan.queues.length + 1) + 10_000
    await this.stepWhile(() => true, clock.monotonicMs() + longestMs)
    await this.count(channel, last)
    for (const { name, ttlMs } of plan.queues) {
      const ready = last.counts.get(name) ?? 0
      if (ready > 0 && ttlMs < Number.POSITIVE_INFINITY) {
        throw new Violation('I17', `${ready} messages of ${name} stay there although their time is over`)
      }
    }
    last.begin(channel, [...letters.queues.keys()])
    await this.stepWhile(() => true, clock.monotonicMs() + 30_000)
    const left = letters.leftOver()
    if (left !== null) throw new Violation('I17', `#${left.id} is in ${left.place.key}, and nobody gets it`)
    await this.count(channel, last)
    for (const [name, ready] of last.counts) {
      if (ready > 0) throw new Violation('I17', `${ready} messages of ${name} are left, and nobody gets them`)
    }
    await this.close()
    await this.examine()
  }

  private async count(channel: Channel, last: LastReader): Promise<void> {
    last.counts = new Map()
    channel.execute(0, { type: 'leveret.queues' })
    await this.stepWhile(() => last.counts.size === 0, this.clock.monotonicMs() + 10_000)
  }
}

/** Takes and acknowledges whatever there is, from all queues at a time. */
class LastReader implements ChannelEvents {
  counts: ReadonlyMap<string, number> = new Map()
  private readonly tags: number[] = []
  private channel!: Channel

  begin(channel: Channel, queues: readonly string[]): void {
    this.channel = channel
    channel.execute(0, { type: 'basic.qos', prefetchSize: 0, prefetchCount: 3, global: false })
    for (const queue of queues) {
      const common = { noAck: false, exclusive: false, arguments: emptyTable }
      channel.execute(0, { type: 'basic.consume', queue, consumerTag: queue, ...common })
    }
  }

  replied(_id: number, reply: Reply): void {
    if (reply.type === 'leveret.queues-ok') this.counts = new Map(reply.queues.map(({ name, ready }) => [name, ready]))
  }

  delivered(_consumerTag: string, deliveryTag: number): void {
    this.tags.push(deliveryTag)
  }

  confirmed(): void {}
  returned(): void {}
  cancelled(): void {}
  /** Then nobody gets the rest, which is what is looked at. */
  failed(): void {}

  /** Only now: what is being delivered is not to be settled yet. */
  flush(): void {
    for (const tag of this.tags.splice(0)) this.channel.ack(tag, false)
  }
}

/** Whoever looks at a disk must not see anything expire meanwhile: for him it is long ago. */
function lookingClock(): SimClock {
  const clock = new SimClock()
  clock.jumpRealtime(-1_000_000_000)
  return clock
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return new Violation('exception', error instanceof Error ? (error.stack ?? error.message) : String(error))
}
