// Starts the RabbitMQ that Debian packages (rabbitmq-server) as a peer to compare with: a node of its own, with its own
// name, ports, epmd and folders, bound to 127.0.0.1, so that it meets no other RabbitMQ on the machine.

import { execFile, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RawClient } from './raw-client.mjs'

const scripts = '/usr/lib/rabbitmq/bin'
const readyMs = 120_000

/**
 * @typedef {object} StartedBroker
 * @property {string} url
 * @property {number} pid  the process that does the work, for /proc
 * @property {number} readyMs  from spawn until it accepts connections
 * @property {(...args: string[]) => Promise<string>} control  rabbitmqctl, with what it prints
 * @property {() => Promise<void>} stop
 */

/**
 * @param {{ folder: string }} options  an empty folder for its data, logs and cookie
 * @returns {Promise<StartedBroker>}
 */
export async function startRabbitmq({ folder }) {
  if (!fs.existsSync(path.join(scripts, 'rabbitmq-server'))) {
    throw new Error('no RabbitMQ here: install the Debian package rabbitmq-server')
  }
  const [port, distributionPort, mapperPort] = await Promise.all([freePort(), freePort(), freePort()])
  for (const name of ['data', 'log', 'schema', 'generated']) fs.mkdirSync(path.join(folder, name), { recursive: true })
  fs.writeFileSync(path.join(folder, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\n`)
  fs.writeFileSync(path.join(folder, 'enabled_plugins'), '[].\n')
  fs.writeFileSync(path.join(folder, 'environment'), '')

  // Erlang would start the port mapper as a daemon that outlives the node; as our child it can be ended by its pid.
  const mapper = spawn('epmd', ['-address', '127.0.0.1', '-port', String(mapperPort)], { stdio: 'ignore' })
  const mapperEnded = new Promise((resolve) => {
    mapper.on('exit', resolve)
    mapper.on('error', resolve)
  })
  await untilListening(mapperPort)

  // Who wants to reach the node needs its name, its cookie, which is in its home, and its port mapper.
  const env = {
    PATH: process.env.PATH,
    LANG: 'C.UTF-8',
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(mapperPort),
    RABBITMQ_CONF_ENV_FILE: path.join(folder, 'environment'),
    RABBITMQ_NODENAME: `leveret-bench-${process.pid}@localhost`,
  }
  const startedAt = performance.now()
  const log = fs.openSync(path.join(folder, 'log', 'console'), 'w')
  const server = spawn(path.join(scripts, 'rabbitmq-server'), [], {
    cwd: folder,
    stdio: ['ignore', log, log],
    env: {
      ...env,
      // Makes the script become the Erlang machine instead of waiting for it: the child's pid is then the broker's.
      RUNNING_UNDER_SYSTEMD: 'true',
      RABBITMQ_CONFIG_FILE: path.join(folder, 'rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: path.join(folder, 'advanced.config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: path.join(folder, 'enabled_plugins'),
      RABBITMQ_SCHEMA_DIR: path.join(folder, 'schema'),
      RABBITMQ_GENERATED_CONFIG_DIR: path.join(folder, 'generated'),
      RABBITMQ_MNESIA_BASE: path.join(folder, 'data'),
      RABBITMQ_LOG_BASE: path.join(folder, 'log'),
      RABBITMQ_PID_FILE: path.join(folder, 'pid'),
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    },
  })
  fs.closeSync(log)
  const ended = new Promise((resolve) => {
    server.on('exit', resolve)
    server.on('error', resolve)
  })

  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null && server.pid) {
      server.kill('SIGTERM')
      await Promise.race([ended, sleep(30_000, undefined, { ref: false })])
      if (server.exitCode === null && server.signalCode === null) server.kill('SIGKILL')
    }
    if (mapper.exitCode === null && mapper.signalCode === null && mapper.kill('SIGTERM')) await mapperEnded
  }

  const url = `amqp://guest:guest@127.0.0.1:${port}`
  while (true) {
    try {
      const client = await RawClient.connect(url)
      await client.close()
      break
    } catch (error) {
      const dead = server.exitCode !== null || server.signalCode !== null
      if (dead || performance.now() - startedAt > readyMs) {
        await stop()
        const text = fs.readFileSync(path.join(folder, 'log', 'console'), 'utf8').slice(-2000)
        throw new Error(`RabbitMQ did not start: ${text}`, { cause: error })
      }
      await sleep(50)
    }
  }
  /** @type {StartedBroker['control']} */
  const control = (...args) =>
    new Promise((resolve, reject) => {
      execFile(path.join(scripts, 'rabbitmqctl'), args, { cwd: folder, env }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout)
        else reject(new Error(`rabbitmqctl ${args.join(' ')}: ${stderr}${stdout}`, { cause: error }))
      })
    })
  return { url, pid: /** @type {number} */ (server.pid), readyMs: performance.now() - startedAt, control, stop }
}

/** A port of 127.0.0.1 that nobody listens on now. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/** @param {number} port */
async function untilListening(port) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const open = await new Promise((resolve) => {
      const socket = net.connect({ host: '127.0.0.1', port })
      socket.on('connect', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.on('close', () => socket.destroy())
      setTimeout(() => socket.destroy(), 1000).unref()
    })
    if (open) return
    await sleep(20)
  }
  throw new Error(`nothing listens on 127.0.0.1:${port}`)
}
