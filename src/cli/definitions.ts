/** `leveret definitions export` and `import`: everything but messages, as a file. */
import { LeveretError } from '../model/errors.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import type { Reporting } from './fail.ts'
import { openTarget, targetOf } from './target.ts'

interface ExportCommand extends Reporting {
  readonly at: string
  readonly vhost?: string
  readonly withHashes: boolean
}

interface ImportCommand extends Reporting {
  readonly file: string
  readonly at: string
  readonly vhost?: string
}

/** A file of definitions is read whole. */
const fileBytesMax = 256 * 1024 * 1024

export async function runExport({ at, vhost, withHashes }: ExportCommand): Promise<number> {
  const bus = await openTarget(targetOf(at), () => {})
  try {
    const definitions = await bus.exportDefinitions({
      withHashes,
      ...(vhost === undefined ? {} : { virtualHost: vhost }),
    })
    process.stdout.write(`${JSON.stringify(definitions, null, 2)}\n`)
  } finally {
    await bus.close()
  }
  return 0
}

export async function runImport({ file, at, vhost, json }: ImportCommand): Promise<number> {
  const definitions = await readDefinitions(file)
  const bus = await openTarget(targetOf(at), () => {})
  try {
    await bus.importDefinitions(definitions, vhost === undefined ? {} : { virtualHost: vhost })
  } finally {
    await bus.close()
  }
  const counts = Object.entries(definitions).flatMap(([name, list]) =>
    Array.isArray(list) ? [[name, list.length]] : [],
  )
  if (json) process.stdout.write(`${JSON.stringify({ file, at, ...Object.fromEntries(counts) })}\n`)
  else process.stdout.write(`imported ${counts.map(([name, count]) => `${count} ${name}`).join(', ')}\n`)
  return 0
}

/** Rejects with E_BAD_DEFINITIONS if the file is not there or no JSON object. */
export async function readDefinitions(path: string): Promise<object> {
  const text = await readFile(path)
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch (error) {
    throw new LeveretError('E_BAD_DEFINITIONS', `${path} is no JSON: ${(error as Error).message}`, error)
  }
  throw new LeveretError('E_BAD_DEFINITIONS', `${path} has no JSON object`)
}

async function readFile(path: string): Promise<string> {
  try {
    const file = await new NodePlatform().disk.open(path, 'read')
    try {
      const size = await file.size()
      if (size > fileBytesMax) throw new Error(`it has ${size} bytes, at most ${fileBytesMax} are read`)
      const buffer = Buffer.alloc(size)
      return buffer.toString('utf8', 0, await file.read(buffer, 0, size, 0))
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new LeveretError('E_BAD_DEFINITIONS', `${path} cannot be read: ${(error as Error).message}`, error)
  }
}
