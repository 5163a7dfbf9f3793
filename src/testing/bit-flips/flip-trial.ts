/**
 * One flipped bit, and what everybody makes of it:
 *
 *     verify     says that something is wrong, unless the bit means nothing
 *     strict     refuses, says where, and changes nothing; or opens, and then every message is there as it was, or was
 *                reported when it could not be read; and every idempotency key is known that was, and no other
 *     salvage    opens, says what it left out, and what it left out is no more than the record with the bit in it
 */
import { LogError } from '../../log/log-error.ts'
import { type VerifyReport, verifyFolder } from '../../store/folder-verify.ts'
import { FolderView } from '../../store/folder-view.ts'
import { recordTypes } from '../../store/record.ts'
import type { BusyFolder } from './busy-folder.ts'
import { type MappedFile, type Part, partAt } from './folder-map.ts'
import { type FoundFolder, placeFolder, salvageFolder, type Witness, witnessFolder } from './witness.ts'

/**
 * What became of a flip when the folder was opened as always. `stopped`: it opened, and the broker ended, saying why, when it
 * came to the damage. `unprovable`: in a frame of which nothing proves that it was ever finished.
 */
export type StrictOutcome = 'refused' | 'reported' | 'stopped' | 'harmless' | 'unprovable' | 'silent'
/** What salvage made of it. `unneeded`: nothing was damaged. `refused`: it cannot help here, and says so. */
export type SalvageOutcome = 'unneeded' | 'whole' | 'refused' | 'more'

export interface Trial {
  readonly file: MappedFile
  readonly offset: number
  readonly bit: number
  readonly part: Part
  readonly strict: StrictOutcome
  readonly salvage: SalvageOutcome
  /** What should not be, in words; empty if all is as it should be. */
  readonly problems: readonly string[]
}

/** What is not as it was. */
interface Difference {
  readonly missing: ReadonlyMap<string, readonly string[]>
  readonly missingCount: number
  readonly extra: ReadonlyMap<string, readonly string[]>
  readonly extraCount: number
  /** Queues whose messages come in another order. */
  readonly reordered: readonly string[]
  /** Messages that somebody may have had, and that do not say so any more. */
  readonly unflagged: number
  readonly flagged: number
  readonly topology: boolean
  /** Idempotency keys, each behind the name of its queue, that are not known any more. */
  readonly forgotten: readonly string[]
  /** Such that nobody used: what is published under them is lost. */
  readonly invented: readonly string[]
}

/** Settles what the damaged record said: those messages may come again, or their queue is another. */
const settlingTypes: readonly number[] = [
  recordTypes.settled,
  recordTypes.purged,
  recordTypes.delivered,
  recordTypes.topology,
  recordTypes.live,
  recordTypes.snapshot,
  recordTypes.clean,
]

export async function tryFlip(
  folder: BusyFolder,
  before: Witness,
  file: MappedFile,
  offset: number,
  bit: number,
): Promise<Trial> {
  const part = partAt(file, offset)
  const files = new Map(folder.files)
  const flipped = Buffer.from(folder.files.get(file.path) as Buffer)
  flipped[offset] = (flipped[offset] as number) ^ (1 << bit)
  files.set(file.path, flipped)
  const damaged = { ...folder, files }
  const problems: string[] = []
  const verified = await verify(damaged)
  // A segment that was just being made is torn, whatever else is flipped.
  const isTold = verified.damages > 0 || verified.files.some(({ bytes, status }) => status !== 'ok' && bytes !== 0)
  const isRead = part.kind === 'body' ? havers(part, before).length > 0 : part.kind !== 'nothing'
  if (!isTold && isRead) problems.push('verify says that all is well')
  if (isTold && !isRead) problems.push('verify calls it damage, but nobody reads that byte')
  if (part.kind === 'body' && isRead) judgeVerifiedBody(verified, before, file, part, problems)
  const strict = judgeStrict(damaged, before, await witnessFolder(damaged), file, part, offset, problems)
  const salvage = verified.damages === 0 ? 'unneeded' : await trySalvage(damaged, before, part, problems)
  return { file, offset, bit, part, strict, salvage, problems }
}

/** The queues that have the message which the part puts there, or the body of which it is. */
function havers({ content, queueIds }: Part, { names, queues }: Witness): string[] {
  const found = queueIds.map((id) => names.get(id) ?? '')
  return found.filter((name) => queues.get(name)?.some((seen) => seen.content === content) === true)
}

/** The file is named, the place in it, and each message that has the body, as its queue counts it; and no other. */
function judgeVerifiedBody(
  { files, messagesLost }: VerifyReport,
  before: Witness,
  file: MappedFile,
  part: Part,
  problems: string[],
): void {
  const bad = files.filter(({ status }) => status !== 'ok' && status !== 'torn')
  const findings = bad.flatMap(({ findings: all }) => all).filter(({ kind }) => kind === 'damage')
  const [finding] = findings
  if (findings.length !== 1 || finding === undefined || `/data/${finding.file}` !== file.path) {
    problems.push(`verify finds ${findings.map((one) => `${one.file} at ${one.offset}`).join(', ')}`)
    return
  }
  if (finding.offset !== part.start || finding.bytes !== part.end - part.start) {
    problems.push(`verify finds the damage at ${finding.offset}, ${finding.bytes} bytes`)
  }
  const live = havers(part, before)
  const wanted = part.routes
    .map(({ queueId, sequence }) => ({ queue: before.names.get(queueId) ?? '', sequence }))
    .filter(({ queue }) => live.includes(queue))
  const textOfMessages = (list: readonly { queue: string; sequence: number }[]): string =>
    list
      .map(({ queue, sequence }) => `${queue} #${sequence}`)
      .sort()
      .join(', ')
  if (textOfMessages(finding.messages) !== textOfMessages(wanted) || messagesLost !== wanted.length) {
    problems.push(`verify names ${textOfMessages(finding.messages)} for ${textOfMessages(wanted)}`)
  }
}

async function verify(folder: Pick<BusyFolder, 'files' | 'ageMs'>): Promise<VerifyReport> {
  const { clock, disk, platform } = placeFolder(folder)
  const look = async (): Promise<VerifyReport> => {
    const view = await FolderView.take(disk, '/data')
    const report = await verifyFolder(platform, view)
    await view.close()
    return report
  }
  return await clock.run(look())
}

function judgeStrict(
  damaged: Pick<BusyFolder, 'files'>,
  before: Witness,
  after: Witness,
  file: MappedFile,
  part: Part,
  offset: number,
  problems: string[],
): StrictOutcome {
  if (after.error !== null) {
    const place = placeOf(after.error)
    // Of a settlement in a frame that nothing proves, the missing file is the proof: it is looked for when the log was read.
    const isOfBody = part.isUnproven && /\/body\/.* the file is missing/.test(after.error.message)
    if (place === null) problems.push(`the refusal names no place: ${after.error.message}`)
    else if (!isOfBody && !place.startsWith(file.path))
      problems.push(`the refusal names ${place}: ${after.error.message}`)
    const named = part.content !== '' && offset >= part.contentStart ? part.queueIds : []
    for (const id of named) {
      const name = before.names.get(id)
      if (name !== undefined && !after.error.message.includes(`of queue '${name}'`)) {
        problems.push(`the refusal does not name ${name}: ${after.error.message}`)
      }
    }
    // A damaged page is found when the log was read and goes on.
    for (const [path, content] of part.kind === 'page' || isOfBody ? [] : damaged.files) {
      if (!path.endsWith('/LOCK') && after.files.get(path)?.equals(content) !== true) {
        problems.push(`a folder that was refused has changed: ${path}`)
      }
    }
    // It is found when somebody is to have it: the rest of the folder can be used.
    if (part.kind === 'body') problems.push(`refused because of a body: ${after.error.message}`)
    if (part.kind === 'nothing') problems.push(`refused, although nobody reads that byte: ${after.error.message}`)
    return 'refused'
  }
  const difference = compare(before, after)
  if (after.failure !== null) {
    if (placeOf(after.failure) === null) problems.push(`the failure names no place: ${after.failure.message}`)
    if (difference.extraCount > 0 || difference.reordered.length > 0) {
      problems.push(`before the broker stopped it gave out what is not right: ${textOf(difference)}`)
    }
    return 'stopped'
  }
  if (part.isUnproven && part.kind !== 'body') return judgeUnproven(difference, problems)
  const reported = reportedOf(before, after, file, part)
  const isSilent =
    difference.extraCount > 0 ||
    difference.topology ||
    difference.unflagged > 0 ||
    (difference.flagged > 0 && after.notes.length === 0) ||
    difference.reordered.length > 0 ||
    (difference.forgotten.length > 0 && after.notes.length === 0) ||
    difference.invented.length > 0 ||
    [...difference.missing].some(([queue, contents]) => contents.length > (reported.get(queue) ?? 0))
  if (isSilent) {
    problems.push(`silent: ${textOf(difference)}`)
    return 'silent'
  }
  for (const [queue, count] of reported) {
    const missing = difference.missing.get(queue)?.length ?? 0
    // One whose time is over may have been found damaged before.
    const isRight = missing === count || (queue === 'expiring' && missing < count)
    if (!isRight) problems.push(`${count} messages of ${queue} were reported, and ${missing} are missing`)
  }
  return reported.size > 0 || after.notes.length > 0 ? 'reported' : 'harmless'
}

/** All of it may be gone, for nobody can tell it from a write that was never finished; but nothing else. */
function judgeUnproven(difference: Difference, problems: string[]): StrictOutcome {
  if (difference.reordered.length + difference.invented.length === 0) return 'unprovable'
  problems.push(`silent: ${textOf(difference)}`)
  return 'silent'
}

async function trySalvage(
  damaged: FoundFolder,
  before: Witness,
  part: Part,
  problems: string[],
): Promise<SalvageOutcome> {
  const { files, notes, error } = await salvageFolder(damaged)
  if (error !== null) {
    if (placeOf(error) === null) problems.push(`salvage refuses without a place: ${error.message}`)
    return 'refused'
  }
  const after = await witnessFolder({ ...damaged, files })
  if (after.error !== null) {
    problems.push(`after salvage the folder does not open: ${after.error.message}`)
    return 'more'
  }
  if (after.failure !== null) {
    if (placeOf(after.failure) === null) problems.push(`after salvage: ${after.failure.message}`)
    return 'refused'
  }
  const difference = compare(before, after)
  const isReported = notes.length > 0 || after.notes.length > 0 || after.damaged.length > 0
  const isSame =
    difference.missingCount + difference.extraCount + difference.forgotten.length === 0 && !difference.topology
  if (!isSame && !isReported) problems.push(`salvage says nothing: ${textOf(difference)}`)
  if (part.isUnproven) return 'whole'
  // A page does not say which of its messages were settled before the checkpoint.
  const mayAdd = part.kind === 'page' || (part.kind === 'record' && settlingTypes.includes(part.type))
  const isTopology = part.kind === 'record' && part.type === recordTypes.topology
  const mayMiss = (queue: string, content: string): boolean =>
    (part.content === content && content !== '') || (isTopology && concerns(part, before, queue))
  const lost = [...difference.missing].flatMap(([queue, contents]) =>
    contents.filter((content) => !mayMiss(queue, content)).map(() => queue),
  )
  const forgotten = difference.forgotten.filter((text) => {
    const [queue, key] = text.split(' ') as [string, string]
    const [queueId, noted] = part.key.split(' ')
    return (
      !(noted === key && before.names.get(Number(queueId)) === queue) && !(isTopology && concerns(part, before, queue))
    )
  })
  const isMore =
    lost.length > 0 ||
    forgotten.length > 0 ||
    difference.invented.length > 0 ||
    (difference.extraCount > 0 && !mayAdd) ||
    (difference.topology && !isTopology) ||
    difference.reordered.length > 0 ||
    difference.unflagged > 0
  if (!isMore) return 'whole'
  problems.push(`salvage lost more than the record: ${textOf(difference)}; lost of ${[...new Set(lost)].join(', ')}`)
  return 'more'
}

/** Whether a topology record is about the queue of that name. */
function concerns({ queueIds }: Part, { names }: Witness, queue: string): boolean {
  return queueIds.some((id) => names.get(id) === queue)
}

function compare(before: Witness, after: Witness): Difference {
  const missing = new Map<string, string[]>()
  const extra = new Map<string, string[]>()
  const reordered: string[] = []
  let unflagged = 0
  let flagged = 0
  for (const queue of new Set([...before.queues.keys(), ...after.queues.keys()])) {
    const was = new Map(before.queues.get(queue)?.map(({ content, redelivered }, at) => [content, { redelivered, at }]))
    const last = new Map<string, number>()
    let isReordered = false
    for (const { content, redelivered } of after.queues.get(queue) ?? []) {
      const one = was.get(content)
      if (one === undefined) {
        extra.set(queue, [...(extra.get(queue) ?? []), content])
        continue
      }
      was.delete(content)
      const line = queue === 'keyed' ? keyOf(content) : ''
      const at = last.get(line) ?? -1
      if (one.at < at) isReordered = true
      last.set(line, Math.max(at, one.at))
      if (one.redelivered && !redelivered) unflagged++
      if (!one.redelivered && redelivered) flagged++
    }
    if (isReordered) reordered.push(queue)
    if (was.size > 0) missing.set(queue, [...was.keys()])
  }
  const topology = before.topology.toSorted().join('\n') !== after.topology.toSorted().join('\n')
  const missingCount = sizeOf(missing)
  const forgotten = before.keys.filter((key) => !after.keys.includes(key))
  const invented = after.keys.filter((key) => !before.keys.includes(key))
  const extraCount = sizeOf(extra)
  return {
    missing,
    missingCount,
    extra,
    extraCount,
    reordered,
    unflagged,
    flagged,
    topology,
    forgotten,
    invented,
  }
}

/** Keys are served in turn, so a message that is missing moves those of other keys. */
function keyOf(content: string): string {
  return /key \d/.exec(content)?.[0] ?? ''
}

function sizeOf(lists: ReadonlyMap<string, readonly string[]>): number {
  return [...lists.values()].reduce((sum, list) => sum + list.length, 0)
}

/**
 * How many messages of each queue were said to be unreadable. A body that cannot be read is told by its file and the place in
 * it, once, however many queues have a message with it.
 */
function reportedOf(before: Witness, { damaged }: Witness, file: MappedFile, part: Part): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of damaged) {
    const isBody = part.kind === 'body' && text.includes(`${file.path} at ${part.start}: `)
    const named = [/message \d+ of queue '(.*?)'/.exec(text)?.[1] ?? text]
    for (const queue of isBody ? havers(part, before) : named) counts.set(queue, (counts.get(queue) ?? 0) + 1)
  }
  return counts
}

/** The file and the place in it that an error names; null if it does not. */
function placeOf(error: Error): string | null {
  const { cause } = error
  if (!('code' in error) || error.code !== 'E_STORAGE_CORRUPT') return null
  if (cause instanceof LogError && cause.file !== null && cause.offset !== null)
    return `${cause.file} at ${cause.offset}`
  const [, file, offset] = /(\/data\/\S+?):? .*\bat (?:byte )?(\d+)/.exec(error.message) ?? []
  return file === undefined ? null : `${file} at ${offset}`
}

function textOf(difference: Difference): string {
  const { missing, extra, reordered, unflagged, flagged, topology, forgotten, invented } = difference
  const counts = (lists: ReadonlyMap<string, readonly string[]>): string =>
    [...lists].map(([queue, list]) => `${queue} ${list.length}`).join(', ')
  const parts = [
    missing.size > 0 ? `missing ${counts(missing)}` : '',
    extra.size > 0 ? `too much ${counts(extra)}` : '',
    reordered.length > 0 ? `another order in ${reordered.join(', ')}` : '',
    unflagged > 0 ? `${unflagged} no longer redelivered` : '',
    flagged > 0 ? `${flagged} redelivered` : '',
    topology ? 'another topology' : '',
    forgotten.length > 0 ? `forgotten: ${forgotten.join(', ')}` : '',
    invented.length > 0 ? `keys that nobody used: ${invented.join(', ')}` : '',
  ]
  return parts.filter((text) => text !== '').join('; ')
}
