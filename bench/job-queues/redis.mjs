// Starts Debian's Redis with an append-only file and nothing else on disk.

import { spawnSync } from 'node:child_process'
import { freePort } from '../rabbitmq.mjs'
import { startServer } from './server.mjs'

const command = 'redis-server'

/** Its version; throws if it is not there. */
export function redisVersion() {
  const { stdout, error } = spawnSync(command, ['--version'], { encoding: 'utf8' })
  if (error) throw new Error('no Redis here: install the Debian package redis-server', { cause: error })
  return stdout.match(/v=(\S+)/)?.[1] ?? 'unknown'
}

/**
 * @param {{ folder: string, appendfsync: 'always' | 'everysec' }} options  an empty folder for its data
 * @returns {Promise<import('./server.mjs').StartedServer>}
 */
export async function startRedis({ folder, appendfsync }) {
  const port = await freePort()
  /** @type {Record<string, string>} */
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: folder,
    daemonize: 'no',
    appendonly: 'yes',
    appendfsync,
    // No snapshots beside the file; and what BullMQ requires.
    save: '',
    'maxmemory-policy': 'noeviction',
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  const server = await startServer({ command, args, readyText: 'Ready to accept connections', stopSignal: 'SIGTERM' })
  return { ...server, url: `redis://127.0.0.1:${port}` }
}
