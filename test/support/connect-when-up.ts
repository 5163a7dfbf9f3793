// A bus on a broker that is being started, or is down for a moment.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, connect } from '../../src/index.ts'

/** Resolves as soon as something accepts connections on that port of this machine. */
export async function connectWhenUp(port: number): Promise<Bus> {
  for (;;) {
    try {
      return await connect(`amqp://127.0.0.1:${port}`)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'E_CONNECT_FAILED') throw error
      await sleep(20)
    }
  }
}
