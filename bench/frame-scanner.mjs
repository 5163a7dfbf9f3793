// The receiving half of the load generator: walks over AMQP frames as they come from the socket and counts.
//
//   frame = type(1) channel(2) size(4) payload(size) 0xCE      type 1 method, 2 content header, 3 body, 8 heartbeat
//
// A load generator must cost far less than the broker it measures, so there is no object, slice or callback per
// frame: deliveries and confirms become plain counters, and the owner hears of them once per chunk. Only methods
// other than basic.deliver, basic.ack and basic.nack are handed out one by one.

const frameHeaderBytes = 7
const frameEnd = 0xce

/** Class and method id as one number, the way they stand on the wire. */
export const methods = {
  connectionStart: 0x000a000a,
  connectionStartOk: 0x000a000b,
  connectionTune: 0x000a001e,
  connectionTuneOk: 0x000a001f,
  connectionOpen: 0x000a0028,
  connectionOpenOk: 0x000a0029,
  connectionClose: 0x000a0032,
  connectionCloseOk: 0x000a0033,
  connectionBlocked: 0x000a003c,
  connectionUnblocked: 0x000a003d,
  channelOpen: 0x0014000a,
  channelOpenOk: 0x0014000b,
  channelFlow: 0x00140014,
  channelFlowOk: 0x00140015,
  channelClose: 0x00140028,
  channelCloseOk: 0x00140029,
  queueDeclare: 0x0032000a,
  queueDeclareOk: 0x0032000b,
  queuePurge: 0x0032001e,
  queuePurgeOk: 0x0032001f,
  queueDelete: 0x00320028,
  queueDeleteOk: 0x00320029,
  basicQos: 0x003c000a,
  basicQosOk: 0x003c000b,
  basicConsume: 0x003c0014,
  basicConsumeOk: 0x003c0015,
  basicCancel: 0x003c001e,
  basicCancelOk: 0x003c001f,
  basicPublish: 0x003c0028,
  basicReturn: 0x003c0032,
  basicDeliver: 0x003c003c,
  basicAck: 0x003c0050,
  basicNack: 0x003c0078,
  confirmSelect: 0x0055000a,
  confirmSelectOk: 0x0055000b,
}

const { basicDeliver, basicReturn, basicAck, basicNack } = methods

const ringLength = 1 << 16
const ringMask = ringLength - 1

/**
 * Which publishes the broker has confirmed. Confirms may be single or cumulative, in any order; a broker that
 * confirms a sequence twice or one that was never published is caught, because such a broker would look fast.
 */
export class ConfirmLedger {
  constructor() {
    this.published = 0
    this.confirmed = 0
    this.nacked = 0
    /** Lowest sequence not yet settled; sequences begin at 1. */
    this.lowest = 1
    /** Settled above `lowest`: how many, and which (a ring of flags). */
    this.settledAhead = 0
    this.settledFlags = new Uint8Array(ringLength)
  }

  get outstanding() {
    return this.published - this.confirmed - this.nacked
  }

  /** @param {number} count */
  publish(count) {
    this.published += count
    if (this.published - this.lowest >= ringLength) throw new Error(`more than ${ringLength} unconfirmed publishes`)
  }

  /** @param {number} sequence @param {boolean} multiple @param {boolean} positive */
  settle(sequence, multiple, positive) {
    if (multiple && sequence === 0) sequence = this.published
    if (sequence > this.published) throw new Error(`confirm of ${sequence}, but only ${this.published} were published`)
    let count = 0
    if (multiple) {
      if (this.settledAhead === 0) {
        count = sequence >= this.lowest ? sequence - this.lowest + 1 : 0
        this.lowest += count
      } else {
        while (this.lowest <= sequence) {
          if (this.settledFlags[this.lowest & ringMask] === 0) count += 1
          else this.#clearFlag()
          this.lowest += 1
        }
        this.#skipSettled()
      }
    } else {
      if (sequence < this.lowest || this.settledFlags[sequence & ringMask] === 1) {
        throw new Error(`sequence ${sequence} was confirmed twice`)
      }
      count = 1
      if (sequence === this.lowest) {
        this.lowest += 1
        if (this.settledAhead > 0) this.#skipSettled()
      } else {
        this.settledFlags[sequence & ringMask] = 1
        this.settledAhead += 1
      }
    }
    if (positive) this.confirmed += count
    else this.nacked += count
  }

  #skipSettled() {
    while (this.settledAhead > 0 && this.settledFlags[this.lowest & ringMask] === 1) {
      this.#clearFlag()
      this.lowest += 1
    }
  }

  #clearFlag() {
    this.settledFlags[this.lowest & ringMask] = 0
    this.settledAhead -= 1
  }
}

/**
 * @typedef {object} ScanHandlers
 * @property {(method: number, args: Buffer) => void} onMethod  any method that is not counted; `args` is a copy
 * @property {() => void} onDeliveries  `received` and `lastTag` have moved; at most once per chunk
 * @property {() => void} onConfirms  the ledger has moved; at most once per chunk
 */

export class FrameScanner {
  /** @param {ScanHandlers} handlers */
  constructor(handlers) {
    this.handlers = handlers
    this.ledger = new ConfirmLedger()
    /** Complete deliveries so far. */
    this.received = 0
    /** Delivery tag of the last complete delivery. Low 32 bits: no run here comes near 4 G messages. */
    this.lastTag = 0
    this.returned = 0
    this.bodyBytes = 0
    /** Body bytes of the content being received that have not come, and what kind of content it is. */
    this.bodyRemaining = 0
    this.contentIsDelivery = false
    this.contentTag = 0
    /** Bytes of the current body frame, end octet included, that have not come. */
    this.skip = 0
    /** The beginning of a frame that is split over chunks. Body frames leave at most their header here. */
    this.carry = Buffer.alloc(1 << 18)
    this.carryLength = 0
    this.confirmsMoved = false
  }

  /** @param {Buffer} chunk only valid during the call @param {number} length */
  scan(chunk, length) {
    const receivedBefore = this.received
    let position = 0
    while (position < length) {
      if (this.skip > 0) {
        position = this.#skipBody(chunk, position, length)
        continue
      }
      if (this.carryLength > 0) {
        position = this.#completeCarry(chunk, position, length)
        continue
      }
      const available = length - position
      if (available < frameHeaderBytes) {
        this.#carryRest(chunk, position, length)
        break
      }
      const size =
        ((chunk[position + 3] << 24) |
          (chunk[position + 4] << 16) |
          (chunk[position + 5] << 8) |
          chunk[position + 6]) >>>
        0
      if (chunk[position] === 3) {
        this.#beginBody(size)
        position += frameHeaderBytes
      } else if (available < size + 8) {
        this.#carryRest(chunk, position, length)
        break
      } else {
        this.#frame(chunk, position, size)
        position += size + 8
      }
    }
    if (this.received !== receivedBefore) this.handlers.onDeliveries()
    if (this.confirmsMoved) {
      this.confirmsMoved = false
      this.handlers.onConfirms()
    }
  }

  /** @param {number} size */
  #beginBody(size) {
    if (size > this.bodyRemaining) throw new Error(`body frame of ${size} bytes, ${this.bodyRemaining} were expected`)
    this.bodyRemaining -= size
    this.bodyBytes += size
    this.skip = size + 1
  }

  /** @param {Buffer} chunk @param {number} position @param {number} length */
  #skipBody(chunk, position, length) {
    const available = length - position
    if (available < this.skip) {
      this.skip -= available
      return length
    }
    position += this.skip
    this.skip = 0
    if (chunk[position - 1] !== frameEnd) throw new Error('frame end octet missing after a body')
    if (this.bodyRemaining === 0) this.#contentComplete()
    return position
  }

  #contentComplete() {
    if (this.contentIsDelivery) {
      this.received += 1
      this.lastTag = this.contentTag
    } else this.returned += 1
  }

  /** A whole method, header or heartbeat frame. @param {Buffer} buffer @param {number} offset @param {number} size */
  #frame(buffer, offset, size) {
    if (buffer[offset + frameHeaderBytes + size] !== frameEnd) throw new Error('frame end octet missing')
    const type = buffer[offset]
    if (type === 1) {
      const method =
        (buffer[offset + 7] << 24) | (buffer[offset + 8] << 16) | (buffer[offset + 9] << 8) | buffer[offset + 10]
      if (method === basicDeliver) {
        this.contentIsDelivery = true
        this.contentTag = readUint32(buffer, offset + 16 + buffer[offset + 11])
      } else if (method === basicAck || method === basicNack) {
        this.ledger.settle(readUint32(buffer, offset + 15), (buffer[offset + 19] & 1) === 1, method === basicAck)
        this.confirmsMoved = true
      } else {
        if (method === basicReturn) this.contentIsDelivery = false
        this.handlers.onMethod(method, Buffer.from(buffer.subarray(offset + 11, offset + frameHeaderBytes + size)))
      }
    } else if (type === 2) {
      this.bodyRemaining = readUint32(buffer, offset + 15)
      if (this.bodyRemaining === 0) this.#contentComplete()
    } else if (type !== 8) throw new Error(`unknown frame type ${type}`)
  }

  /** @param {Buffer} chunk @param {number} position @param {number} length */
  #carryRest(chunk, position, length) {
    const rest = length - position
    this.#growCarry(rest)
    chunk.copy(this.carry, 0, position, length)
    this.carryLength = rest
  }

  /** @param {Buffer} chunk @param {number} position @param {number} length */
  #completeCarry(chunk, position, length) {
    if (this.carryLength < frameHeaderBytes) {
      const next = this.#fillCarry(chunk, position, length, frameHeaderBytes)
      if (this.carryLength < frameHeaderBytes) return next
      position = next
    }
    const size = readUint32(this.carry, 3)
    if (this.carry[0] === 3) {
      this.carryLength = 0
      this.#beginBody(size)
      return position
    }
    this.#growCarry(size + 8)
    position = this.#fillCarry(chunk, position, length, size + 8)
    if (this.carryLength === size + 8) {
      this.carryLength = 0
      this.#frame(this.carry, 0, size)
    }
    return position
  }

  /** @param {Buffer} chunk @param {number} position @param {number} length @param {number} wanted */
  #fillCarry(chunk, position, length, wanted) {
    const count = Math.min(wanted - this.carryLength, length - position)
    chunk.copy(this.carry, this.carryLength, position, position + count)
    this.carryLength += count
    return position + count
  }

  /** @param {number} bytes */
  #growCarry(bytes) {
    if (bytes <= this.carry.length) return
    const larger = Buffer.alloc(bytes * 2)
    this.carry.copy(larger, 0, 0, this.carryLength)
    this.carry = larger
  }
}

/** @param {Buffer} buffer @param {number} offset */
function readUint32(buffer, offset) {
  return ((buffer[offset] << 24) | (buffer[offset + 1] << 16) | (buffer[offset + 2] << 8) | buffer[offset + 3]) >>> 0
}
