// Starts Debian's PostgreSQL on a cluster of its own, with the defaults: fsync and synchronous_commit are on.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { freePort } from '../rabbitmq.mjs'
import { startServer } from './server.mjs'

const versionsFolder = '/usr/lib/postgresql'
// Its superuser in the package, and who must run it if we are root.
const systemUser = 'postgres'
const user = 'bench'

/** Where the newest installed version has its programs. */
function programFolder() {
  const versions = fs.existsSync(versionsFolder) ? fs.readdirSync(versionsFolder).map(Number) : []
  const installed = versions
    .filter((version) => fs.existsSync(path.join(versionsFolder, String(version), 'bin', 'postgres')))
    .toSorted((a, b) => b - a)
  if (installed[0] === undefined) throw new Error('no PostgreSQL here: install the Debian package postgresql')
  return path.join(versionsFolder, String(installed[0]), 'bin')
}

/** Its version; throws if it is not there. */
export function postgresVersion() {
  const { stdout } = spawnSync(path.join(programFolder(), 'postgres'), ['--version'], { encoding: 'utf8' })
  return stdout.match(/\d+(\.\d+)*/)?.[0] ?? 'unknown'
}

/** PostgreSQL refuses to run as root. @returns {import('./server.mjs').Identity | undefined} */
function identityOfServer() {
  if (process.getuid?.() !== 0) return undefined
  const [uid, gid] = ['-u', '-g'].map((which) =>
    Number(spawnSync('id', [which, systemUser], { encoding: 'utf8' }).stdout),
  )
  if (!uid || !gid) throw new Error(`PostgreSQL must not run as root, and there is no user ${systemUser}`)
  return { uid, gid }
}

/**
 * @param {{ folder: string }} options  an empty folder for its data
 * @returns {Promise<import('./server.mjs').StartedServer>}
 */
export async function startPostgres({ folder }) {
  const programs = programFolder()
  const port = await freePort()
  const identity = identityOfServer()
  if (identity) fs.chownSync(folder, identity.uid, identity.gid)
  const data = path.join(folder, 'cluster')
  const initialize = ['--pgdata', data, '--username', user, '--auth', 'trust', '--encoding', 'UTF8', '--no-locale']
  const made = spawnSync(path.join(programs, 'initdb'), initialize, { encoding: 'utf8', cwd: folder, ...identity })
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr || made.error?.message}`)
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'on',
    synchronous_commit: 'on',
  }
  const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const server = await startServer({
    command: path.join(programs, 'postgres'),
    args,
    readyText: 'ready to accept connections',
    // Fast shutdown: connections are ended, not waited for.
    stopSignal: 'SIGINT',
    ...(identity && { identity }),
  })
  return { ...server, url: `postgres://${user}@127.0.0.1:${port}/postgres` }
}
