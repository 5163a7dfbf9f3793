/** What a check of a folder found, file by file, and which messages it concerns. */

/** `damage`: bytes are not what was written. `torn`: a write that nobody was told of. `note`: worth telling, all is well. */
export type FindingKind = 'damage' | 'torn' | 'note'

export interface AffectedMessage {
  readonly queue: string
  readonly sequence: number
  /** Where in the file its record stands. */
  readonly offset: number
  /** It is known to wait in its queue; otherwise only the damaged record says that it exists, or did. */
  readonly waits: boolean
}

export interface Finding {
  readonly kind: FindingKind
  /** From the folder on. */
  readonly file: string
  readonly offset: number
  /** How far it goes; 0 if that is not known. */
  readonly bytes: number
  readonly detail: string
  readonly messages: AffectedMessage[]
}

const findingsMax = 1_000
const messagesMax = 10_000

export class Findings {
  readonly list: Finding[] = []
  /** Damage that is not in the list because there is so much. */
  untold = 0
  /** Messages that wait and cannot be read, told or not. */
  messages = 0
  private damageCount = 0
  private readonly byFile = new Map<string, Finding[]>()
  private readonly seen = new Set<string>()

  get damages(): number {
    return this.damageCount
  }

  of(file: string): readonly Finding[] {
    return this.byFile.get(file) ?? []
  }

  get files(): Iterable<string> {
    return this.byFile.keys()
  }

  add(kind: FindingKind, file: string, offset: number, bytes: number, detail: string): Finding | null {
    if (this.of(file).some((one) => one.kind === kind && one.offset === offset && one.detail === detail)) return null
    if (kind === 'damage') this.damageCount++
    if (this.list.length >= findingsMax) {
      this.untold++
      return null
    }
    const finding: Finding = { kind, file, offset, bytes, detail, messages: [] }
    this.list.push(finding)
    const known = this.byFile.get(file)
    if (known === undefined) this.byFile.set(file, [finding])
    else known.push(finding)
    return finding
  }

  /** A message's record at `offset` cannot be read: told with the damage that it is a part of, if that is known. */
  addMessage(file: string, offset: number, detail: string, message: AffectedMessage): void {
    const finding = this.of(file).find((one) => one.kind === 'damage' && isWithin(one, offset))
    const told = finding ?? this.add('damage', file, offset, 0, detail)
    if (told !== null) this.affect(told, message)
  }

  affect(finding: Finding, message: AffectedMessage): void {
    const key = `${message.queue} ${message.sequence}`
    if (this.seen.has(key)) return
    if (message.waits) this.messages++
    if (this.seen.size >= messagesMax) return
    this.seen.add(key)
    finding.messages.push(message)
  }
}

function isWithin({ offset, bytes }: Finding, at: number): boolean {
  return at === offset || (at > offset && at < offset + bytes)
}
