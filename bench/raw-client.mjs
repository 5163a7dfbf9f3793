// A raw AMQP 0-9-1 client for load, independent of src/ so that it can measure any broker with the same code.
//
// The control plane (login, declare, consume) is made of promises and may be slow. The data plane is not: publishes
// are encoded once and written many at a time from one buffer, received frames are only counted (frame-scanner.mjs),
// and acknowledgements are cumulative. One connection holds one channel, number 1.

import net from 'node:net'
import { FrameScanner, methods } from './frame-scanner.mjs'

const channel = 1
const consumerTag = 'c'
// Large and reused: one read takes as much as the kernel has, and no buffer is allocated per read.
const receiveBytes = 256 * 1024
// A batch larger than this gains nothing and would hold much memory at large message sizes.
const batchBytesMax = 8 * 1024 * 1024

/** @typedef {Record<string, string | number | boolean>} Arguments */

export class RawClient {
  /** @type {(() => void)} called once per chunk that completed deliveries; see `received` and `lastTag` */
  onDeliveries = () => {}
  /** @type {(() => void)} called once per chunk that held confirms; see `ledger` */
  onConfirms = () => {}
  /** @type {(error: Error) => void} the connection is lost, or the broker closed the channel or cancelled us */
  onFailure = (error) => {
    throw error
  }
  /** How often the broker told us that it does not take publishes for now. */
  blockedCount = 0
  frameMax = 131072

  /** @type {{ method: number, resolve: (args: Buffer) => void, reject: (error: Error) => void }[]} */
  #waiting = []
  /** @type {Error | null} */
  #failure = null
  #closing = false

  /** @param {URL} url */
  constructor(url) {
    this.url = url
    this.scanner = new FrameScanner({
      onMethod: (method, args) => this.#method(method, args),
      onDeliveries: () => this.onDeliveries(),
      onConfirms: () => this.onConfirms(),
    })
    this.socket = net.connect({
      host: url.hostname,
      port: Number(url.port || 5672),
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(receiveBytes),
        callback: (length, buffer) => {
          try {
            this.scanner.scan(/** @type {Buffer} */ (buffer), length)
          } catch (error) {
            this.#fail(/** @type {Error} */ (error))
          }
          return true
        },
      },
    })
    this.socket.on('error', (error) => this.#fail(error))
    this.socket.on('close', () => this.#fail(new Error('the broker closed the connection')))
  }

  /** Logs in and opens the channel. @param {string} address @param {string} [name] shown in the broker's listings */
  static async connect(address, name = 'leveret-bench') {
    const url = new URL(address)
    if (url.protocol !== 'amqp:') throw new Error(`only amqp:// is measured, not ${url.protocol}//`)
    const client = new RawClient(url)
    const user = decodeURIComponent(url.username || 'guest')
    const password = decodeURIComponent(url.password || 'guest')
    const virtualHost = decodeURIComponent(url.pathname.slice(1)) || '/'

    client.socket.write(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
    await client.#expect(methods.connectionStart)
    const capabilities = table({
      publisher_confirms: true,
      'basic.nack': true,
      consumer_cancel_notify: true,
      'connection.blocked': true,
      authentication_failure_close: true,
    })
    const properties = table({ product: name, connection_name: name }, field('capabilities', 'F', capabilities))
    const login = longString(`\0${user}\0${password}`)
    client.#send(0, methods.connectionStartOk, properties, shortString('PLAIN'), login, shortString('en_US'))

    const tune = await client.#expect(methods.connectionTune)
    client.frameMax = tune.readUInt32BE(2) || client.frameMax
    client.#send(0, methods.connectionTuneOk, uint16(tune.readUInt16BE(0)), uint32(client.frameMax), uint16(0))
    client.#send(0, methods.connectionOpen, shortString(virtualHost), shortString(''), octet(0))
    await client.#expect(methods.connectionOpenOk)
    client.#send(channel, methods.channelOpen, shortString(''))
    await client.#expect(methods.channelOpenOk)
    return client
  }

  get received() {
    return this.scanner.received
  }

  get lastTag() {
    return this.scanner.lastTag
  }

  get ledger() {
    return this.scanner.ledger
  }

  /** @param {string} queue @param {{ durable?: boolean, autoDelete?: boolean, arguments?: Arguments }} [options] */
  async declareQueue(queue, options = {}) {
    const bits = (options.durable ? 2 : 0) | (options.autoDelete ? 8 : 0)
    const args = table(options.arguments ?? {})
    this.#send(channel, methods.queueDeclare, uint16(0), shortString(queue), octet(bits), args)
    await this.#expect(methods.queueDeclareOk)
  }

  /** @param {string} queue */
  async deleteQueue(queue) {
    this.#send(channel, methods.queueDelete, uint16(0), shortString(queue), octet(0))
    await this.#expect(methods.queueDeleteOk)
  }

  async selectConfirms() {
    this.#send(channel, methods.confirmSelect, octet(0))
    await this.#expect(methods.confirmSelectOk)
  }

  /** @param {number} count */
  async prefetch(count) {
    this.#send(channel, methods.basicQos, uint32(0), uint16(count), octet(0))
    await this.#expect(methods.basicQosOk)
  }

  /** @param {string} queue @param {{ noAck: boolean }} options */
  async consume(queue, { noAck }) {
    const tag = shortString(consumerTag)
    this.#send(channel, methods.basicConsume, uint16(0), shortString(queue), tag, octet(noAck ? 2 : 0), table({}))
    await this.#expect(methods.basicConsumeOk)
  }

  /** Before the queue is deleted, or the broker would tell us of the consumer's end as of a failure. */
  async cancel() {
    this.#send(channel, methods.basicCancel, shortString(consumerTag), octet(0))
    await this.#expect(methods.basicCancelOk)
  }

  async close() {
    this.#closing = true
    this.#send(0, methods.connectionClose, uint16(200), shortString('bye'), uint16(0), uint16(0))
    await this.#expect(methods.connectionCloseOk)
    this.socket.destroy()
  }

  /** Settles everything up to and including the tag. @param {number} tag */
  ackUpTo(tag) {
    const frame = Buffer.allocUnsafe(21)
    frame.writeUInt8(1, 0)
    frame.writeUInt16BE(channel, 1)
    frame.writeUInt32BE(13, 3)
    frame.writeUInt32BE(methods.basicAck, 7)
    frame.writeUInt32BE(0, 11)
    frame.writeUInt32BE(tag, 15)
    frame.writeUInt8(1, 19)
    frame.writeUInt8(0xce, 20)
    this.socket.write(frame)
  }

  /** Settles the tags `from` to `to` one by one, but for every `keepEvery`th. @param {number} from @param {number} to @param {number} keepEvery */
  ackBut(from, to, keepEvery) {
    const frames = Buffer.allocUnsafe(21 * (to - from + 1))
    let at = 0
    for (let tag = from; tag <= to; tag++) {
      if (tag % keepEvery === 0) continue
      frames.writeUInt8(1, at)
      frames.writeUInt16BE(channel, at + 1)
      frames.writeUInt32BE(13, at + 3)
      frames.writeUInt32BE(methods.basicAck, at + 7)
      frames.writeUInt32BE(0, at + 11)
      frames.writeUInt32BE(tag, at + 15)
      frames.writeUInt8(0, at + 19)
      frames.writeUInt8(0xce, at + 20)
      at += 21
    }
    this.socket.write(frames.subarray(0, at))
  }

  /** @param {Publishes} publishes @param {number} count @returns {boolean} whether the socket wants more */
  publish(publishes, count) {
    this.ledger.publish(count)
    return this.#writeMany(publishes, count)
  }

  /** The same without confirms. @param {Publishes} publishes @param {number} count */
  publishUnconfirmed(publishes, count) {
    return this.#writeMany(publishes, count)
  }

  /** @param {Publishes} publishes @param {number} count */
  #writeMany(publishes, count) {
    let writable = true
    while (count > 0) {
      const now = Math.min(count, publishes.countMax)
      writable = this.socket.write(publishes.bytes.subarray(0, now * publishes.messageBytes))
      count -= now
    }
    return writable
  }

  /** @param {number} channelNumber @param {number} method @param {...Buffer} args */
  #send(channelNumber, method, ...args) {
    if (this.#failure) throw this.#failure
    this.socket.write(frame(1, channelNumber, Buffer.concat([uint32(method), ...args])))
  }

  /** @param {number} method @returns {Promise<Buffer>} its arguments */
  #expect(method) {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#waiting.push({ method, resolve, reject }))
  }

  /** @param {number} method @param {Buffer} args */
  #method(method, args) {
    switch (method) {
      case methods.connectionClose:
        this.#send(0, methods.connectionCloseOk)
        return this.#fail(new Error(`the broker closed the connection: ${replyText(args)}`))
      case methods.channelClose:
        this.#send(channel, methods.channelCloseOk)
        return this.#fail(new Error(`the broker closed the channel: ${replyText(args)}`))
      case methods.basicCancel:
        return this.#fail(new Error('the broker cancelled the consumer'))
      case methods.connectionBlocked:
        this.blockedCount += 1
        return
      case methods.connectionUnblocked:
        return
      case methods.channelFlow:
        return this.#send(channel, methods.channelFlowOk, args.subarray(0, 1))
      case methods.basicReturn:
        return this.#fail(new Error(`the broker returned a message: ${replyText(args)}`))
    }
    const waiting = this.#waiting.shift()
    if (waiting?.method === method) return waiting.resolve(args)
    const error = new Error(`unexpected method 0x${method.toString(16)}`)
    waiting?.reject(error)
    this.#fail(error)
  }

  /** @param {Error} error */
  #fail(error) {
    if (this.#failure) return
    this.#failure = error
    this.socket.destroy()
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) one.reject(error)
    if (!this.#closing && waiting.length === 0) this.onFailure(error)
  }
}

/** Many copies of one encoded publish in one buffer, so that any number up to `countMax` is one write. */
export class Publishes {
  /**
   * @param {{ routingKey: string, bodyBytes: number, persistent: boolean, frameMax: number, countMax: number }} options
   */
  constructor({ routingKey, bodyBytes, persistent, frameMax, countMax }) {
    const one = encodePublish(routingKey, Buffer.alloc(bodyBytes, 'x'), persistent, frameMax)
    this.messageBytes = one.length
    this.countMax = Math.max(1, Math.min(countMax, Math.floor(batchBytesMax / one.length)))
    this.bytes = Buffer.alloc(this.countMax * one.length, one)
  }
}

/**
 * A publish to the default exchange: method, content header, body frames.
 * @param {string} routingKey @param {Buffer} body @param {boolean} persistent @param {number} frameMax
 */
function encodePublish(routingKey, body, persistent, frameMax) {
  const method = Buffer.concat([
    uint32(methods.basicPublish),
    uint16(0),
    shortString(''),
    shortString(routingKey),
    octet(0),
  ])
  // Class 60, weight 0, size, property flags; delivery-mode is the only property, and only where it is 2.
  const properties = persistent ? Buffer.from([0x10, 0x00, 2]) : Buffer.from([0, 0])
  const header = Buffer.concat([uint16(60), uint16(0), uint32(0), uint32(body.length), properties])
  const frames = [frame(1, channel, method), frame(2, channel, header)]
  const bodyFrameMax = frameMax - 8
  for (let start = 0; start < body.length; start += bodyFrameMax) {
    frames.push(frame(3, channel, body.subarray(start, start + bodyFrameMax)))
  }
  return Buffer.concat(frames)
}

/** @param {number} type @param {number} channelNumber @param {Buffer} payload */
function frame(type, channelNumber, payload) {
  return Buffer.concat([octet(type), uint16(channelNumber), uint32(payload.length), payload, octet(0xce)])
}

/** Code and text of connection.close, channel.close and basic.return. @param {Buffer} args */
function replyText(args) {
  return `${args.readUInt16BE(0)} ${args.toString('utf8', 3, 3 + args.readUInt8(2))}`
}

/** @param {number} value */
function octet(value) {
  return Buffer.from([value])
}

/** @param {number} value */
function uint16(value) {
  const buffer = Buffer.alloc(2)
  buffer.writeUInt16BE(value)
  return buffer
}

/** @param {number} value */
function uint32(value) {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

/** @param {string} text */
function shortString(text) {
  const bytes = Buffer.from(text)
  return Buffer.concat([octet(bytes.length), bytes])
}

/** @param {string} text */
function longString(text) {
  const bytes = Buffer.from(text)
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** @param {Arguments} entries @param {...Buffer} more fields already encoded */
function table(entries, ...more) {
  const fields = Object.entries(entries).map(([name, value]) => {
    if (typeof value === 'boolean') return field(name, 't', octet(value ? 1 : 0))
    if (typeof value === 'number') return field(name, 'I', uint32(value >>> 0))
    return field(name, 'S', longString(value))
  })
  const bytes = Buffer.concat([...fields, ...more])
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** @param {string} name @param {string} type @param {Buffer} value */
function field(name, type, value) {
  return Buffer.concat([shortString(name), Buffer.from(type), value])
}
