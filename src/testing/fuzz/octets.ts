/**
 * Octets as AMQP lays them out, and as it does not: whoever bends a protocol must be able to write what no encoder would.
 *
 *     frame   type u8 | channel u16be | size u32be, which may lie | payload | end octet, which may be another
 */

export function u8(value: number): Buffer {
  return Buffer.from([value & 255])
}

export function u16(value: number): Buffer {
  return Buffer.from([(value >>> 8) & 255, value & 255])
}

export function u32(value: number): Buffer {
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(value >>> 0, 0)
  return octets
}

export function u64(value: bigint): Buffer {
  const octets = Buffer.alloc(8)
  octets.writeBigUInt64BE(BigInt.asUintN(64, value), 0)
  return octets
}

export function text(value: string | Buffer): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : value
}

/** A short string; `length` is what it says of itself. */
export function short(value: string | Buffer, length?: number): Buffer {
  const octets = text(value).subarray(0, 255)
  return Buffer.concat([u8(length ?? octets.length), octets])
}

/** A long string, a table's body or an array's; `length` is what it says of itself. */
export function long(value: string | Buffer, length?: number): Buffer {
  const octets = text(value)
  return Buffer.concat([u32(length ?? octets.length), octets])
}

export function frame(
  type: number,
  channel: number,
  payload: Buffer,
  size: number = payload.length,
  end = 0xce,
): Buffer {
  const octets = Buffer.allocUnsafe(payload.length + 8)
  octets[0] = type
  octets.writeUInt16BE(channel, 1)
  octets.writeUInt32BE(size >>> 0, 3)
  payload.copy(octets, 7)
  octets[payload.length + 7] = end
  return octets
}

/** A method frame: class and method in one number, then the arguments as they are. */
export function methodFrame(channel: number, id: number, args: Buffer): Buffer {
  return frame(1, channel, Buffer.concat([u32(id), args]))
}

/** A content header frame. */
export function headerFrame(channel: number, bodyBytes: bigint, properties: Buffer, classId = 60, weight = 0): Buffer {
  return frame(2, channel, Buffer.concat([u16(classId), u16(weight), u64(bodyBytes), properties]))
}
