/**
 * What a server says, read by somebody who trusts nothing: every frame whole and no larger than agreed, every method one that
 * a server may send, every content of the size it announced, and silence where there must be silence.
 */
import { decodeMethod, type Method } from '../../amqp/methods.ts'
import { decodeProperties } from '../../model/properties.ts'

const contentMethods = ['basic.deliver', 'basic.return', 'basic.get-ok']
const neverSent = ['basic.publish', 'connection.start-ok', 'connection.tune-ok', 'connection.open']

export interface ServerWords {
  method(channel: number, method: Method): void
  /** A whole message. */
  content(channel: number, method: Method, body: Buffer): void
}

interface Content {
  readonly method: Method
  bytesLeft: number
  readonly parts: Buffer[]
  hasHeader: boolean
}

export class StrictReader {
  frameBytesMax = 131_072
  /** The server answered with its protocol header. */
  sawHeader = false
  private rest: Buffer = Buffer.alloc(0)
  private readonly words: ServerWords
  private readonly contents = new Map<number, Content>()
  private readonly closedChannels = new Set<number>()
  private isClosing = false

  constructor(words: ServerWords) {
    this.words = words
  }

  /** Throws an Error that says what is wrong. */
  push(chunk: Buffer): void {
    let octets = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk])
    if (octets[0] === 0x41) {
      if (octets.length < 8) {
        this.rest = octets
        return
      }
      this.sawHeader = true
      if (octets.toString('hex', 0, 8) !== '414d515000000901') throw new Error('a protocol header that is not ours')
      octets = octets.subarray(8)
    }
    let at = 0
    while (octets.length - at >= 7) {
      const size = octets.readUInt32BE(at + 3)
      if (size + 8 > this.frameBytesMax)
        throw new Error(`a frame of ${size} octets above frame_max ${this.frameBytesMax}`)
      if (octets.length - at < size + 8) break
      if (octets[at + 7 + size] !== 0xce) throw new Error('a frame without its end octet')
      this.frame(octets[at] as number, octets.readUInt16BE(at + 1), octets.subarray(at + 7, at + 7 + size))
      at += size + 8
    }
    this.rest = octets.subarray(at)
  }

  /** Our side has confirmed that the channel is closed, or opens it anew. */
  reopened(channel: number): void {
    this.closedChannels.delete(channel)
  }

  private frame(type: number, channel: number, payload: Buffer): void {
    if (type === 8) {
      if (channel !== 0 || payload.length > 0) throw new Error('a heartbeat that is none')
    } else if (type === 1) this.method(channel, payload)
    else if (type === 2) this.header(channel, payload)
    else if (type === 3) this.body(channel, payload)
    else throw new Error(`a frame of type ${type}`)
  }

  private method(channel: number, payload: Buffer): void {
    const method = decodeMethod(payload, 0, payload.length)
    const { name } = method
    if (neverSent.includes(name)) throw new Error(`a server that says ${name}`)
    if (this.contents.has(channel)) throw new Error(`${name} amid the content of channel ${channel}`)
    if ((channel === 0) !== name.startsWith('connection.')) throw new Error(`${name} on channel ${channel}`)
    if (this.isClosing && name !== 'connection.close-ok') throw new Error(`${name} behind connection.close`)
    if (this.closedChannels.has(channel) && !['channel.close-ok', 'channel.open-ok'].includes(name)) {
      throw new Error(`${name} behind channel.close of channel ${channel}`)
    }
    if (name === 'connection.close') this.isClosing = true
    if (name === 'channel.close') this.closedChannels.add(channel)
    if (name === 'channel.open-ok') this.closedChannels.delete(channel)
    if (contentMethods.includes(name)) {
      this.contents.set(channel, { method, bytesLeft: 0, parts: [], hasHeader: false })
    } else this.words.method(channel, method)
  }

  private header(channel: number, payload: Buffer): void {
    const content = this.contents.get(channel)
    if (content === undefined || content.hasHeader) throw new Error('a content header that nobody announced')
    if (payload.readUInt32BE(0) !== 60 << 16) throw new Error('a content header of another class')
    content.hasHeader = true
    content.bytesLeft = Number(payload.readBigUInt64BE(4))
    if (payload.readUInt16BE(12) === 0) decodeProperties(payload, 12)
    this.endIfComplete(channel, content)
  }

  private body(channel: number, payload: Buffer): void {
    const content = this.contents.get(channel)
    if (content === undefined || !content.hasHeader) throw new Error('a body that nobody announced')
    if (payload.length === 0 || payload.length > content.bytesLeft) throw new Error('a body of another size')
    content.bytesLeft -= payload.length
    content.parts.push(payload)
    this.endIfComplete(channel, content)
  }

  private endIfComplete(channel: number, { method, bytesLeft, parts }: Content): void {
    if (bytesLeft > 0) return
    this.contents.delete(channel)
    this.words.content(channel, method, Buffer.concat(parts))
  }
}
