/** Writes PUBLISH records (record.ts) into the log's open frame, in place: names, routes one by one, content. */
import { copyRange } from '../lib/copy-range.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from './entry.ts'
import { criticalFlag, recordTypes, routeBytesMax, routeDelayed, routeExpires, routeKeyed } from './record.ts'
import type { PublishLog } from './store.ts'

export class PublishWriter implements PublishLog {
  private readonly log: SegmentedLog
  /** Exchange and routing key of the last publish as the record has them; publishers repeat themselves. */
  private readonly names = Buffer.alloc(2 + 2 * 255)
  private namesBytes = 0
  private namesExchange: string | null = null
  private namesKey = ''
  /** Where the route being added goes, and the message of the publish under way. */
  private at = 0
  private message: Message | null = null
  private routeCount = 0

  constructor(log: SegmentedLog) {
    this.log = log
  }

  begin(message: Message, routeCount: number): void {
    if (message.exchange !== this.namesExchange || message.routingKey !== this.namesKey) this.writeNames(message)
    const { log, namesBytes } = this
    const bytesMax = namesBytes + 4 + routeCount * routeBytesMax + message.contentBytes
    message.recordOffset = log.openOffset
    const start = log.begin(message.refers ? recordTypes.referring : recordTypes.publish, criticalFlag, bytesMax)
    copyRange(this.names, 0, namesBytes, log.buffer, start)
    this.at = writeU32(log.buffer, start + namesBytes, routeCount)
    this.message = message
    this.routeCount = routeCount
  }

  addRoute(queueId: number, { sequence, priority, expiresAt, keyHash, dueAt }: Entry): void {
    const { buffer } = this.log
    const at = writeU32(buffer, this.at, queueId)
    writeU32(buffer, at, sequence >>> 0)
    const high = Math.floor(sequence / 4294967296)
    buffer[at + 4] = high & 255
    buffer[at + 5] = high >>> 8
    buffer[at + 6] = priority
    buffer[at + 7] =
      (expiresAt > 0 ? routeExpires : 0) | (keyHash > 0 ? routeKeyed : 0) | (dueAt > 0 ? routeDelayed : 0)
    this.at = at + 8
    if (expiresAt > 0) this.addTime(expiresAt)
    if (keyHash > 0) this.at = writeU32(buffer, this.at, keyHash)
    if (dueAt > 0) this.addTime(dueAt)
  }

  private addTime(ms: number): void {
    const { buffer } = this.log
    const high = Math.floor(ms / 4294967296)
    writeU32(buffer, this.at, ms >>> 0)
    buffer[this.at + 4] = high & 255
    buffer[this.at + 5] = high >>> 8
    this.at += 6
  }

  end(): void {
    const { log } = this
    const message = this.message as Message
    const { source, propertiesStart, propertiesEnd, bodyStart, bodyEnd } = message
    const headerEnd = this.at + propertiesEnd - propertiesStart
    // What was composed in this process is in one piece; what came over a socket has frame headers between.
    if (propertiesEnd === bodyStart) copyRange(source, propertiesStart, bodyEnd, log.buffer, this.at)
    else {
      copyRange(source, propertiesStart, propertiesEnd, log.buffer, this.at)
      copyRange(source, bodyStart, bodyEnd, log.buffer, headerEnd)
    }
    const segment = log.openSegment
    segment.live += this.routeCount
    segment.references += this.routeCount
    message.residence = segment
    log.end(headerEnd, headerEnd + bodyEnd - bodyStart)
    message.recordBytes = log.openOffset - message.recordOffset
    this.message = null
  }

  private writeNames(message: Message): void {
    const { names } = this
    const exchangeBytes = names.write(message.exchange, 1, 255, 'utf8')
    names[0] = exchangeBytes
    const keyBytes = names.write(message.routingKey, 2 + exchangeBytes, 255, 'utf8')
    names[1 + exchangeBytes] = keyBytes
    this.namesBytes = 2 + exchangeBytes + keyBytes
    this.namesExchange = message.exchange
    this.namesKey = message.routingKey
  }
}

function writeU32(buffer: Buffer, at: number, value: number): number {
  buffer[at] = value & 255
  buffer[at + 1] = (value >>> 8) & 255
  buffer[at + 2] = (value >>> 16) & 255
  buffer[at + 3] = value >>> 24
  return at + 4
}
