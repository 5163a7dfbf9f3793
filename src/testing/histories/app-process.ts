/**
 * One process of the application: a bus, in one slot and one life of its broker. What it does with the bus its kind of history
 * says; that it may lose it at any moment is the same for all.
 */
import type { Bus } from '../../client/bus.ts'
import type { LeveretError } from '../../model/errors.ts'
import { isLoss, PlannedFailure } from './expected-errors.ts'
import type { World } from './world.ts'

/** A process as far as a ledger is concerned. */
export interface Party {
  readonly name: string
  readonly slot: number
  /** Its broker's life, from 0. */
  readonly life: number
  /** What happens in it from then on counts for nothing. */
  readonly isDead: boolean
}

/** Who a process is to be. */
export type Place = Pick<Party, 'name' | 'slot' | 'life'>

export abstract class AppProcess<Surroundings extends World = World> implements Party {
  readonly slot: number
  readonly life: number
  readonly name: string
  readonly bus: Bus
  isDead = false
  isClosing = false
  protected readonly world: Surroundings

  constructor(world: Surroundings, { slot, life, name }: Place, bus: Bus) {
    this.world = world
    this.slot = slot
    this.life = life
    this.name = name
    this.bus = bus
  }

  /** The name that what it is owed is kept under. */
  get sender(): string {
    return `sender-${this.slot}`
  }

  /** It has connected, and works from then on. */
  abstract begin(): Promise<void>

  /** Takes what is in its inbox, until there is nothing left. */
  abstract readInbox(): Promise<void>

  dies(): void {
    this.isDead = true
  }

  /** Ends in good order. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosing = true
    await this.bus.close({ timeout: timeoutMs })
  }

  hears(error: Error): void {
    const { code } = error as LeveretError
    if (code === 'E_CONNECTION_LOST' && error.message.includes('the connection to the broker has ended')) {
      if (!this.isDead) this.world.note(`${this.name} is dead`)
      this.dies()
    } else if (typeof code !== 'string' && !(error instanceof PlannedFailure)) {
      this.world.complain('exception', `${this.name} was told: ${error.stack ?? String(error)}`)
    }
  }
}

/** Connects, and lets what `make` returns begin; null: the broker has gone meanwhile. */
export async function startProcess<App extends AppProcess>(
  world: World,
  name: string,
  make: (bus: Bus) => App,
): Promise<App | null> {
  let app: App | null = null
  const onError = (error: Error): void => app?.hears(error)
  try {
    const bus = await world.test.connect({ onError })
    app = make(bus)
    world.note(`${name} has connected`)
    await app.begin()
    return app
  } catch (error) {
    app?.dies()
    if (isLoss(error)) return null
    throw error
  }
}
