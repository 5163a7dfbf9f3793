/** `leveret asyncapi`: prints the AsyncAPI document of the contracts in a file. */
import { dirname, join, resolve } from 'node:path'
import { asyncApi } from '../asyncapi/async-api.ts'
import { readSmallFile } from '../log/small-file.ts'
import { LeveretError } from '../model/errors.ts'
import type { Disk } from '../platform/disk.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import { contractsOf } from './contract-file.ts'
import type { Reporting } from './fail.ts'

interface AsyncApiCommand extends Reporting {
  readonly file: string
  readonly title?: string
  readonly version?: string
  readonly server?: readonly string[]
}

export async function run(options: AsyncApiCommand): Promise<number> {
  const { disk } = new NodePlatform()
  const contracts = await contractsOf(disk, options.file)
  const application = await packageAround(disk, options.file)
  const { title = application.title, version = application.version } = options
  const servers = options.server === undefined ? {} : { servers: serversOf(options.server) }
  const document = asyncApi(contracts, {
    ...(title === undefined ? {} : { title }),
    ...(version === undefined ? {} : { version }),
    ...servers,
  })
  process.stdout.write(`${options.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`)
  return 0
}

/** Each is `name=URL`, or a URL alone, which gets a name. */
function serversOf(texts: readonly string[]): Record<string, string> {
  const servers: Record<string, string> = {}
  for (const text of texts) {
    const [, given, url = ''] = /^(?:([\w-]+)=)?(.*)$/s.exec(text) ?? []
    const count = Object.keys(servers).length
    const name = given ?? (count === 0 ? 'default' : `server-${count + 1}`)
    if (Object.hasOwn(servers, name)) throw new LeveretError('E_BAD_OPTION', `--server: two are called '${name}'`)
    servers[name] = url
  }
  return servers
}

interface Application {
  readonly title?: string
  readonly version?: string
}

/** What the nearest package.json above the file says about itself. */
async function packageAround(disk: Disk, file: string): Promise<Application> {
  for (let folder = dirname(resolve(file)); ; folder = dirname(folder)) {
    const text = await readSmallFile(disk, join(folder, 'package.json'))
    if (text !== null) return describe(text)
    if (folder === dirname(folder)) return {}
  }
}

function describe(text: string): Application {
  try {
    const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown }
    return {
      ...(typeof name === 'string' ? { title: name } : {}),
      ...(typeof version === 'string' ? { version } : {}),
    }
  } catch {
    // A package.json that cannot be read says nothing.
    return {}
  }
}
