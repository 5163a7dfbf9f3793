/** A broker over a folder for a command that changes it: nobody can reach it, and it ends with the command. */
import { Broker } from '../broker/broker.ts'
import { keepAlive } from '../client/keep-alive.ts'
import { loadPatternEngine } from '../pattern-engine.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import { LogStore } from '../store/log-store.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../store/log-store-options.ts'

/** Opens the folder, which must be there, and closes it again. Rejects with E_FOLDER_IN_USE, E_STORAGE_CORRUPT, … */
export async function withOpenFolder<Result>(
  folder: string,
  options: Partial<LogStoreOptions>,
  use: (store: LogStore, broker: Broker) => Promise<Result>,
): Promise<Result> {
  const platform = new NodePlatform()
  // The clock's own timers keep no process alive.
  const letGo = keepAlive()
  try {
    const store = new LogStore(platform, folder, { ...logStoreOptionsDefault, ...options })
    const memoryBytesMax = Number.MAX_SAFE_INTEGER
    const broker = await Broker.open(platform, store, { memoryBytesMax, loadPatternEngine, runsSchedules: false })
    try {
      return await use(store, broker)
    } finally {
      await broker.close()
    }
  } finally {
    letGo()
  }
}
