/**
 * The contracts that a file exports, by themselves, in an array or in an object:
 *
 *     export const resize = defineQueue('resize', { input })
 *     export const events = [defineEvent('image.resized')]
 *     export default { price: defineCall('price') }
 *
 * The file is run, as any module that is imported. Node 20 cannot load TypeScript, so jiti does, and writes no cache.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Contract, isContract } from '../asyncapi/async-api.ts'
import { isErrorCode } from '../log/small-file.ts'
import { LeveretError } from '../model/errors.ts'
import type { Disk } from '../platform/disk.ts'

/** Rejects with E_BAD_OPTION if the file is not there, cannot be loaded, or exports none. */
export async function contractsOf(disk: Disk, path: string): Promise<Contract[]> {
  const absolute = resolve(path)
  await checkThere(disk, path, absolute)
  const contracts = contractsIn(await load(path, absolute))
  if (contracts.length > 0) return contracts
  throw bad(
    `${path} exports no contracts: export what defineQueue, defineEvent and defineCall give, ` +
      "such as export const resize = defineQueue('resize')",
  )
}

/** Each once, in the order of their exports. */
export function contractsIn(exported: object): Contract[] {
  const found = new Set<Contract>()
  for (const value of Object.values(exported) as unknown[]) {
    if (isContract(value)) found.add(value)
    else if (typeof value === 'object' && value !== null) {
      for (const one of Object.values(value) as unknown[]) if (isContract(one)) found.add(one)
    }
  }
  return [...found]
}

async function checkThere(disk: Disk, path: string, absolute: string): Promise<void> {
  try {
    await (await disk.open(absolute, 'read')).close()
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) throw bad(`there is no file ${path}`)
    throw bad(`${path} cannot be read: ${(error as Error).message}`, error)
  }
}

async function load(path: string, absolute: string): Promise<object> {
  try {
    if (/\.[cm]?js$/.test(absolute)) return (await import(pathToFileURL(absolute).href)) as object
    const { createJiti } = await import('jiti')
    return await createJiti(import.meta.url, { fsCache: false, interopDefault: false }).import<object>(absolute)
  } catch (error) {
    throw bad(`${path} cannot be loaded: ${oneLine(error)}`, error)
  }
}

/** Without the files that asked for a missing one: the first of them is ours. */
function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\nRequire stack:[\s\S]*/, '').replace(/\s*\n\s*/g, ' ')
}

function bad(text: string, cause?: unknown): LeveretError {
  return new LeveretError('E_BAD_OPTION', text, cause)
}
