// Debian's RabbitMQ as a peer that tells whether our expectations are right: a node of its own on 127.0.0.1.
import { removeFolder, temporaryFolder } from './temporary-folder.ts'

interface StartedBroker {
  readonly url: string
  /** rabbitmqctl, with what it prints. */
  control(...args: string[]): Promise<string>
  stop(): Promise<void>
}

interface Starter {
  startRabbitmq(options: { folder: string }): Promise<StartedBroker>
}

export async function startRabbitmq(): Promise<StartedBroker> {
  // The benchmarks know how. They are plain JavaScript without declarations, so the import says what it expects.
  const starter = (await import(new URL('../../bench/rabbitmq.mjs', import.meta.url).href)) as Starter
  const folder = temporaryFolder('rabbitmq')
  const broker = await starter.startRabbitmq({ folder })
  return {
    url: broker.url,
    control: (...args) => broker.control(...args),
    async stop() {
      await broker.stop()
      removeFolder(folder)
    },
  }
}
