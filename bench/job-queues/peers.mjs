// The packages that the peers need, at pinned versions, in a folder of their own: no dependency of ours, and the same
// versions whenever it runs.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export const peerVersions = { bullmq: '6.7.0', ioredis: '6.0.0', 'pg-boss': '12.38.0' }
/** What pg-boss asks for. */
const pgBossNode = { major: 22, minor: 12 }
/** A Node for it from the registry, where ours is older. */
const newerNode = '22.23.3'

/**
 * @typedef {object} Peers
 * @property {string} module  resolve packages from here
 * @property {string} pgBossNode  the Node that runs pg-boss
 */

/** Installs what is missing. @returns {Peers} */
export function installPeers() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isNewEnough = major > pgBossNode.major || (major === pgBossNode.major && minor >= pgBossNode.minor)
  /** @type {Record<string, string>} */
  const dependencies = { ...peerVersions }
  const nodePackage = `node-${os.platform()}-${os.arch()}`
  if (!isNewEnough) dependencies[nodePackage] = newerNode
  const names = Object.entries(dependencies).map(([name, version]) => `${name}@${version}`)
  const cache = process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache')
  const folder = path.join(cache, 'leveret-bench', names.join('+'))
  const module = path.join(folder, 'package.json')
  const complete = path.join(folder, 'complete')
  if (!fs.existsSync(complete)) {
    process.stderr.write(`! installing ${names.join(', ')} into ${folder} …\n`)
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(module, JSON.stringify({ private: true, dependencies }))
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--engine-strict=false', '--loglevel=error']
    const install = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' })
    if (install.status !== 0)
      throw new Error(`npm install ${names.join(' ')}: ${install.stderr || install.error?.message}`)
    fs.writeFileSync(complete, '')
  }
  const node = path.join(folder, 'node_modules', nodePackage, 'bin', 'node')
  return { module, pgBossNode: isNewEnough ? process.execPath : node }
}
