// Makes sure that Debian packages are there, those given as arguments or else those which the interop suites talk to:
// installs what is missing when run as root, otherwise names what is missing and how to get it.
import { spawnSync } from 'node:child_process'

const interopPackages = [
  'rabbitmq-server',
  'amqp-tools',
  'strace',
  'python3-pika',
  'php-cli',
  'php-amqplib',
  'golang-go',
  'golang-github-rabbitmq-amqp091-go-dev',
]
const packages = process.argv.length > 2 ? process.argv.slice(2) : interopPackages

/** @param {string} name */
function isInstalled(name) {
  const query = spawnSync('dpkg-query', ['--show', '--showformat=${db:Status-Status}', name], { encoding: 'utf8' })
  return query.status === 0 && query.stdout.trim() === 'installed'
}

/** @param {string[]} args */
function aptGet(args) {
  // RUNLEVEL=1 keeps the package scripts from starting a broker: each suite starts its own, on its own port.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const run = spawnSync('apt-get', args, { stdio: ['ignore', 'inherit', 'inherit'], env })
  return run.status === 0
}

const missing = packages.filter((name) => !isInstalled(name))
if (missing.length === 0) {
  console.log(`Debian packages present: ${packages.join(', ')}`)
} else if (process.getuid?.() !== 0) {
  console.error(`Missing Debian packages: ${missing.join(', ')}`)
  console.error(`Install them with: sudo apt-get install --no-install-recommends ${missing.join(' ')}`)
  process.exitCode = 1
} else {
  console.log(`Installing Debian packages: ${missing.join(', ')}`)
  aptGet(['update', '--quiet'])
  const installed = aptGet(['install', '--yes', '--quiet', '--no-install-recommends', ...missing])
  const stillMissing = packages.filter((name) => !isInstalled(name))
  if (!installed || stillMissing.length > 0) {
    console.error(`Could not install: ${(stillMissing.length > 0 ? stillMissing : missing).join(', ')}`)
    process.exitCode = 1
  }
}
