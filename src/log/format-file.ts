/**
 * FORMAT says what kind of folder this is, in lines a person can read:
 *
 *     leveret
 *     format 1.0
 *     compat 0          bits an older version may ignore
 *     ro_compat 0       bits an older version may ignore if it only reads
 *     incompat 0        bits an older version must refuse
 *     needs 0.1.0       with incompat bits: the first version that knows them all
 *     uuid 8f14e45f-…
 *     crc 1c291ca3      CRC-32 of the lines above
 *
 * It is written before the first segment, so segments without FORMAT mean that somebody removed it. Salvage writes it anew:
 * what it says beside the name can be seen in the folder, and segments say for themselves which format they have.
 */
import { crc32 } from '../lib/crc32.ts'
import type { Disk } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { formatUnsupported, LogError, storageCorrupt } from './log-error.ts'
import { formatMajor, formatMinor } from './segment.ts'
import { isErrorCode, readSmallFile, replaceSmallFile } from './small-file.ts'

/** The state before some segment is in checkpoints (folder ckpt/) alone. */
export const incompatCheckpoints = 1

export interface Format {
  readonly uuid: string
  readonly incompat: number
  /** There is no segment yet. */
  readonly isNew: boolean
  /** Why it was written anew; empty if it was not. */
  readonly repaired: string
}

const knownBits = { ro_compat: 0, incompat: incompatCheckpoints } as const
/** The first version that knows all of them. */
const neededVersion = '0.1.0'

export interface FormatOptions {
  /** Writes a damaged or missing one anew. */
  readonly salvage?: boolean
  /** Whoever opens the folder only reads it. */
  readonly readsOnly?: boolean
}

/** Reads FORMAT, or writes it if the folder is empty, or (`salvage`) if it is damaged. */
export async function openFormat(
  platform: Platform,
  directory: string,
  hasSegments: boolean,
  { salvage = false, readsOnly = false }: FormatOptions = {},
): Promise<Format> {
  try {
    return await readFormat(platform, directory, hasSegments, readsOnly)
  } catch (error) {
    if (!salvage || !(error instanceof LogError) || error.code !== 'E_STORAGE_CORRUPT') throw error
    return await repairFormat(platform, directory, hasSegments, error.detail ?? '')
  }
}

async function readFormat(
  platform: Platform,
  directory: string,
  hasSegments: boolean,
  readsOnly: boolean,
): Promise<Format> {
  const path = `${directory}/FORMAT`
  const text = await readSmallFile(platform.disk, path)
  if (text !== null) {
    const { uuid, incompat } = parseFormat(path, text, readsOnly)
    // Who wrote it may have died before its name was durable, and the first segment must not outlive it.
    if (!hasSegments) await platform.disk.syncDirectory(directory)
    return { uuid, incompat, isNew: !hasSegments, repaired: '' }
  }
  if (hasSegments) throw storageCorrupt(path, 0, 'the file is missing, but there are segments')
  const uuid = makeUuid(platform)
  await writeFormat(platform, directory, uuid, 0)
  return { uuid, incompat: 0, isNew: true, repaired: '' }
}

/**
 * The damaged text goes to quarantine/. If one bit is wrong, it is known which. Else what can be read counts: what seems to
 * be a later version's is refused.
 */
async function repairFormat(
  platform: Platform,
  directory: string,
  hasSegments: boolean,
  detail: string,
): Promise<Format> {
  const { disk } = platform
  const path = `${directory}/FORMAT`
  const text = await readSmallFile(disk, path)
  const fields = fieldsOf(withoutFlip(text ?? ''))
  checkFields(path, fields, false)
  if (text !== null) {
    const taken = await disk.list(`${directory}/quarantine`)
    let number = 1
    while (taken.includes(`FORMAT.${number}`)) number++
    await disk.rename(path, `${directory}/quarantine/FORMAT.${number}`)
    await disk.syncDirectory(`${directory}/quarantine`)
  }
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(fields.get('uuid') ?? '')?.[0] ?? makeUuid(platform)
  const incompat = (await hasCheckpoints(disk, directory)) ? incompatCheckpoints : 0
  await writeFormat(platform, directory, uuid, incompat)
  return { uuid, incompat, isNew: !hasSegments, repaired: `${path}: ${detail}; it was written anew` }
}

/** The text that has the right checksum and is one bit away, if there is one: by chance there is in one of 5 million texts. */
function withoutFlip(text: string): string {
  const bytes = Buffer.from(text)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const at = bit >> 3
    bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
    const corrected = bytes.toString()
    if (isWhole(corrected)) return corrected
    bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
  }
  return text
}

async function hasCheckpoints(disk: Disk, directory: string): Promise<boolean> {
  try {
    return (await disk.list(`${directory}/ckpt`)).some((name) => name.endsWith('.ckpt'))
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Writes FORMAT anew, for a folder whose content needs the bits `incompat` from now on. */
export async function writeFormat(
  platform: Platform,
  directory: string,
  uuid: string,
  incompat: number,
): Promise<void> {
  const version = `${formatMajor}.${formatMinor}`
  const bits = incompat.toString(16)
  const needs = incompat === 0 ? '' : `needs ${neededVersion}\n`
  const lines = `leveret\nformat ${version}\ncompat 0\nro_compat 0\nincompat ${bits}\n${needs}uuid ${uuid}\n`
  await replaceSmallFile(platform.disk, `${directory}/FORMAT`, `${lines}crc ${crcText(lines)}\n`)
  await platform.disk.syncDirectory(directory)
}

function parseFormat(path: string, text: string, readsOnly: boolean): { uuid: string; incompat: number } {
  if (!text.startsWith('leveret\n')) throw storageCorrupt(path, 0, 'it does not begin with the line "leveret"')
  // The checksum comes first: a flipped bit must not be taken for a message from the future.
  if (!isWhole(text)) throw storageCorrupt(path, 0, 'its text does not match its checksum')
  const fields = fieldsOf(text)
  if (majorOf(fields) === null) throw formatUnsupported(path, 'Leveret format ', 'the format is not said', '')
  checkFields(path, fields, readsOnly)
  return { uuid: fields.get('uuid') ?? '', incompat: Number.parseInt(fields.get('incompat') ?? '0', 16) }
}

function fieldsOf(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n').slice(1)) {
    const space = line.indexOf(' ')
    if (space > 0) fields.set(line.slice(0, space), line.slice(space + 1))
  }
  return fields
}

/** Throws E_FORMAT_UNSUPPORTED if they say what this version does not know. */
function checkFields(path: string, fields: ReadonlyMap<string, string>, readsOnly: boolean): void {
  const written = `Leveret format ${fields.get('format') ?? ''}`
  const needed = /^[\w.-]{1,32}$/.exec(fields.get('needs') ?? '')?.[0] ?? ''
  const major = majorOf(fields)
  if (major !== null && major !== formatMajor) {
    throw formatUnsupported(path, written, `this is format ${formatMajor}.${formatMinor}`, needed)
  }
  for (const [name, known] of Object.entries(knownBits)) {
    const unknown = Number.parseInt(fields.get(name) ?? '0', 16) & ~known
    if (unknown === 0 || (readsOnly && name === 'ro_compat')) continue
    const hex = (unknown >>> 0).toString(16)
    throw formatUnsupported(path, written, `${name} bits ${hex} are unknown`, needed)
  }
}

/** Null: there is none to be read. */
function majorOf(fields: ReadonlyMap<string, string>): number | null {
  const [, major] = /^(\d+)\.\d+$/.exec(fields.get('format') ?? '') ?? []
  return major === undefined ? null : Number(major)
}

function isWhole(text: string): boolean {
  const lines = text.slice(0, Math.max(0, text.lastIndexOf('crc ')))
  return text === `${lines}crc ${crcText(lines)}\n`
}

function crcText(text: string): string {
  const bytes = Buffer.from(text)
  return crc32(bytes, 0, bytes.length, 0).toString(16).padStart(8, '0')
}

function makeUuid(platform: Platform): string {
  const bytes = Buffer.alloc(16)
  platform.random.fill(bytes)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
