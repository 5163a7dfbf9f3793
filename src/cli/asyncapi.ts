/** `leveret asyncapi`: prints the AsyncAPI document of the contracts in a file. */
import { dirname, join, resolve } from 'node:path'
import { type AsyncApiDocument, asyncApi } from '../asyncapi/async-api.ts'
import { readSmallFile } from '../log/small-file.ts'
import { LeveretError } from '../model/errors.ts'
import type { Disk } from '../platform/disk.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import { contractsOf } from './contract-file.ts'
import { fail, type Reporting } from './fail.ts'

interface AsyncApiCommand extends Reporting {
  readonly file: string
  readonly title?: string
  readonly version?: string
  readonly server?: readonly string[]
}

/** The file may have begun what does not end, such as a timer, so the process does when all is said. */
export async function run(options: AsyncApiCommand): Promise<number> {
  const write = takeOutput()
  const status = await print(options, write).catch((error: unknown) => fail(error, options))
  await new Promise((resolve) => process.stderr.write('', resolve))
  process.exit(status)
}

/** Standard output is for the document: whatever else is printed, by the file or what it imports, goes to standard error. */
function takeOutput(): NodeJS.WriteStream['write'] {
  const { stdout, stderr } = process
  const write = stdout.write.bind(stdout)
  stdout.write = stderr.write.bind(stderr)
  return write
}

async function print(options: AsyncApiCommand, write: NodeJS.WriteStream['write']): Promise<number> {
  const document = await documentOf(options)
  const text = options.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)
  // A reader that has gone is no reason to fail.
  await new Promise((resolve) => write(`${text}\n`, resolve))
  return 0
}

async function documentOf(options: AsyncApiCommand): Promise<AsyncApiDocument> {
  const { disk } = new NodePlatform()
  const contracts = await contractsOf(disk, options.file)
  const application = await packageAround(disk, options.file)
  const { title = application.title, version = application.version } = options
  const servers = options.server === undefined ? {} : { servers: serversOf(options.server) }
  return asyncApi(contracts, {
    ...(title === undefined ? {} : { title }),
    ...(version === undefined ? {} : { version }),
    ...servers,
  })
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
