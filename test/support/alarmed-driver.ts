// A driver whose alarms a test rings: everything else is the driver's behind it.
import type { BodyStore } from '../../src/model/bodies.ts'
import type { Driver, Login, Session, SessionEvents } from '../../src/model/channel.ts'

export class AlarmedDriver implements Driver {
  private readonly driver: Driver
  private readonly listeners: Set<SessionEvents> = new Set()
  private readonly rung: Set<string> = new Set()

  constructor(driver: Driver) {
    this.driver = driver
  }

  get bodies(): BodyStore | null {
    return this.driver.bodies ?? null
  }

  authenticate(login: Login): Promise<void> {
    return this.driver.authenticate(login)
  }

  async openSession(login: Login, events: SessionEvents): Promise<Session> {
    const session = await this.driver.openSession(login, events)
    this.listeners.add(events)
    if (this.rung.size > 0) events.blocked(this.reason)
    return session
  }

  close(): Promise<void> {
    return this.driver.close()
  }

  ring(alarm: string, isOn: boolean): void {
    if (isOn) this.rung.add(alarm)
    else this.rung.delete(alarm)
    for (const events of this.listeners) {
      if (this.rung.size > 0) events.blocked(this.reason)
      else events.unblocked()
    }
  }

  private get reason(): string {
    return `low on ${[...this.rung].join(' & ')}`
  }
}
