/**
 * FORMAT says what kind of folder this is, in lines a person can read:
 *
 *     leveret
 *     format 1.0
 *     compat 0          bits an older version may ignore
 *     ro_compat 0       bits an older version may ignore if it only reads
 *     incompat 0        bits an older version must refuse
 *     uuid 8f14e45f-…
 *     crc 1c291ca3      CRC-32 of the lines above
 *
 * It is written before the first segment, so segments without FORMAT mean that somebody removed it.
 */
import { crc32 } from '../lib/crc32.ts'
import type { Platform } from '../platform/platform.ts'
import { formatUnsupported, storageCorrupt } from './log-error.ts'
import { formatMajor, formatMinor } from './segment.ts'
import { readSmallFile, replaceSmallFile } from './small-file.ts'

/** The state before some segment is in checkpoints (folder ckpt/) alone. */
export const incompatCheckpoints = 1

export interface Format {
  readonly uuid: string
  readonly incompat: number
  /** There is no segment yet. */
  readonly isNew: boolean
}

const knownBits = { ro_compat: 0, incompat: incompatCheckpoints } as const

/** Reads FORMAT, or writes it if the folder is empty. */
export async function openFormat(platform: Platform, directory: string, hasSegments: boolean): Promise<Format> {
  const path = `${directory}/FORMAT`
  const text = await readSmallFile(platform.disk, path)
  if (text !== null) {
    const { uuid, incompat } = parseFormat(path, text)
    // Who wrote it may have died before its name was durable, and the first segment must not outlive it.
    if (!hasSegments) await platform.disk.syncDirectory(directory)
    return { uuid, incompat, isNew: !hasSegments }
  }
  if (hasSegments) throw storageCorrupt(path, 0, 'the file is missing, but there are segments')
  const uuid = makeUuid(platform)
  await writeFormat(platform, directory, uuid, 0)
  return { uuid, incompat: 0, isNew: true }
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
  const lines = `leveret\nformat ${version}\ncompat 0\nro_compat 0\nincompat ${bits}\nuuid ${uuid}\n`
  await replaceSmallFile(platform.disk, `${directory}/FORMAT`, `${lines}crc ${crcText(lines)}\n`)
  await platform.disk.syncDirectory(directory)
}

function parseFormat(path: string, text: string): { uuid: string; incompat: number } {
  const lines = text.split('\n')
  if (lines[0] !== 'leveret') throw storageCorrupt(path, 0, 'it does not begin with the line "leveret"')
  const fields = new Map<string, string>()
  for (const line of lines.slice(1)) {
    const space = line.indexOf(' ')
    if (space > 0) fields.set(line.slice(0, space), line.slice(space + 1))
  }
  // The checksum comes first: a flipped bit must not be taken for a message from the future.
  const crcAt = text.lastIndexOf('crc ')
  if (text !== `${text.slice(0, Math.max(crcAt, 0))}crc ${crcText(text.slice(0, Math.max(crcAt, 0)))}\n`) {
    throw storageCorrupt(path, 0, 'its text does not match its checksum')
  }
  const version = fields.get('format') ?? ''
  const written = `Leveret format ${version}`
  if (Number(version.split('.')[0]) !== formatMajor) {
    throw formatUnsupported(path, written, `this is format ${formatMajor}.${formatMinor}`)
  }
  for (const [name, known] of Object.entries(knownBits)) {
    const bits = Number.parseInt(fields.get(name) ?? '0', 16)
    if ((bits & ~known) !== 0) throw formatUnsupported(path, written, `${name} bits ${bits.toString(16)}`)
  }
  return { uuid: fields.get('uuid') ?? '', incompat: Number.parseInt(fields.get('incompat') ?? '0', 16) }
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
