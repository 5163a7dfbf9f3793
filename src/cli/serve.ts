/** `leveret serve`: a broker over a folder or memory, until a signal ends it. */
import { connect, type Served, type ServeOptions } from '../index.ts'
import { deliveryTimes, durabilityLevels } from '../model/durability.ts'
import { LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { readDefinitions } from './definitions.ts'
import { fail, type Reporting } from './fail.ts'
import { choiceOption, integerOption } from './options.ts'
import { damageOr } from './target.ts'

interface ServeCommand extends Reporting {
  readonly data: string
  readonly memory: boolean
  readonly durability: string
  readonly deliverAfter: string
  readonly amqpPort: string
  readonly host: string
  readonly messageBytesMax: string
  readonly networkFolder: boolean
  readonly definitions?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsCa?: string
  readonly tlsVerify?: string
  readonly tlsUser: string
  readonly tlsPort: string
  readonly tlsOnly: boolean
}

export async function run(options: ServeCommand): Promise<number> {
  const port = integerOption('--amqp-port', options.amqpPort, 0, 65_535)
  const durability = choiceOption('--durability', options.durability, durabilityLevels)
  const deliverAfter = choiceOption('--deliver-after', options.deliverAfter, deliveryTimes)
  const { messageBytesCeiling } = limits
  const messageBytesMax = integerOption('--message-bytes-max', options.messageBytesMax, 1, messageBytesCeiling)
  const tls = tlsOf(options)
  const definitions = options.definitions === undefined ? null : await readDefinitions(options.definitions)
  const ending = new Ending()
  const onError = damageOr((error) => ending.because(error))
  const { networkFolder } = options
  const bus = options.memory
    ? await connect('memory:', { onError })
    : await connect(`file:${options.data}`, { onError, durability, deliverAfter, networkFolder })
  try {
    for (const note of bus.notes) process.stderr.write(`leveret: note: ${note}\n`)
    if (definitions !== null) await bus.importDefinitions(definitions)
    const amqp = options.tlsOnly ? false : port
    const served = await bus.serve({ amqp, host: options.host, messageBytesMax, ...tls })
    sayReady(options, served)
    await ending.comes()
  } finally {
    await bus.close()
  }
  // Closing tells of a storage that failed; what else ends a broker from within is told here.
  return ending.error === null ? 0 : fail(ending.error, options)
}

/** Throws E_BAD_OPTION if one of a pair is missing. */
function tlsOf(options: ServeCommand): Pick<ServeOptions, 'tls'> {
  const { tlsCert: cert, tlsKey: key, tlsCa: ca, tlsVerify } = options
  if (cert === undefined && key === undefined) {
    if (ca === undefined && tlsVerify === undefined && !options.tlsOnly) return {}
  }
  if (cert === undefined || key === undefined) {
    throw new LeveretError('E_BAD_OPTION', 'TLS needs --tls-cert and --tls-key, both files in PEM')
  }
  const verify =
    tlsVerify === undefined ? {} : { verify: choiceOption('--tls-verify', tlsVerify, ['none', 'optional', 'require']) }
  const user = choiceOption('--tls-user', options.tlsUser, ['cn', 'dn', 'san'])
  const port = integerOption('--tls-port', options.tlsPort, 0, 65_535)
  return { tls: { cert, key, ...(ca === undefined ? {} : { ca }), ...verify, user, port } }
}

function sayReady(options: ServeCommand, { url, tlsUrl }: Served): void {
  const data = options.memory ? null : options.data
  const startMs = Math.round(process.uptime() * 1000)
  if (options.json) {
    const storage = data === null ? {} : { durability: options.durability, deliverAfter: options.deliverAfter }
    process.stdout.write(
      `${JSON.stringify({ ready: true, url, ...(tlsUrl === null ? {} : { tlsUrl }), data, ...storage, pid: process.pid, startMs })}\n`,
    )
    return
  }
  const where = data === null ? 'memory' : `data ${data}${promiseText(options)}`
  const also = tlsUrl === null || tlsUrl === url ? '' : ` ${tlsUrl}`
  process.stdout.write(`leveret ready ${url}${also} ${where} pid ${process.pid} in ${startMs} ms\n`)
  const to = url === 'amqp://127.0.0.1:5672' ? '' : ` --to ${url}`
  const from = to.replace('--to', '--from')
  process.stdout.write('  try, in another terminal (or with any AMQP 0-9-1 client):\n')
  process.stdout.write(`    echo hello | npx leveret send greetings${to}\n`)
  process.stdout.write(`    npx leveret receive greetings${from}\n`)
}

/** What is not as usual. */
function promiseText({ durability, deliverAfter }: ServeCommand): string {
  const level = durability === 'fsync' ? '' : ` durability ${durability}`
  return deliverAfter === 'accept' ? level : `${level} deliver-after ${deliverAfter}`
}

/** The first signal ends it in order, the second at once. */
class Ending {
  /** What ended it, if that was no signal. */
  error: Error | null = null
  private resolve: () => void = () => {}
  private readonly ended: Promise<void>

  constructor() {
    this.ended = new Promise((resolve) => {
      this.resolve = resolve
    })
    const signals = { SIGINT: 130, SIGTERM: 143 } as const
    let count = 0
    for (const [signal, status] of Object.entries(signals)) {
      process.on(signal, () => {
        if (++count > 1) process.exit(status)
        this.resolve()
      })
    }
  }

  because(error: Error): void {
    this.error ??= error
    this.resolve()
  }

  comes(): Promise<void> {
    return this.ended
  }
}
