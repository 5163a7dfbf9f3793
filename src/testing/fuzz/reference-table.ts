/**
 * Field tables decoded as naively as possible, from what RabbitMQ documents: no readers, no classes, a cursor and slices. What
 * it says of octets, the real decoder must say too, be it a table or a refusal.
 */

const depthMax = 32

/** As [name, tag, value]; numbers as text, octets in hexadecimal. Null: these octets are no table with its length before it. */
export type ReferenceField = readonly [string, string, ReferenceValue]
export type ReferenceValue = string | readonly ReferenceField[]

export function referenceTable(octets: Buffer): readonly ReferenceField[] | null {
  if (octets.length < 4 || octets.length !== 4 + octets.readUInt32BE(0)) return null
  return pairs(octets.subarray(4), 0)
}

function pairs(octets: Buffer, depth: number): readonly ReferenceField[] | null {
  if (depth > depthMax) return null
  const found = new Map<string, ReferenceField>()
  for (let rest = octets; rest.length > 0; ) {
    const keyEnd = 1 + (rest[0] as number)
    if (rest.length <= keyEnd) return null
    const name = rest.subarray(1, keyEnd).toString()
    const one = field(rest.subarray(keyEnd), depth)
    if (one === null) return null
    const [tag, value, after] = one
    // A name that comes twice has its first place and its last value.
    found.set(name, [name, tag, value])
    rest = after
  }
  return [...found.values()]
}

/** Tag, value, and what is left behind them. */
function field(octets: Buffer, depth: number): readonly [string, ReferenceValue, Buffer] | null {
  const tag = octets.toString('latin1', 0, 1)
  const rest = octets.subarray(1)
  const sizes: Readonly<Record<string, number>> = {
    t: 1,
    b: 1,
    B: 1,
    s: 2,
    u: 2,
    I: 4,
    i: 4,
    f: 4,
    D: 5,
    l: 8,
    L: 8,
    T: 8,
    d: 8,
    V: 0,
  }
  const size = Object.hasOwn(sizes, tag) ? (sizes[tag] as number) : -1
  if (size >= 0) return rest.length < size ? null : [tag === 'L' ? 'l' : tag, plain(tag, rest), rest.subarray(size)]
  if (!['S', 'x', 'F', 'A'].includes(tag) || rest.length < 4) return null
  const end = 4 + rest.readUInt32BE(0)
  if (rest.length < end) return null
  const inside = rest.subarray(4, end)
  const value = tag === 'F' ? pairs(inside, depth + 1) : tag === 'A' ? items(inside, depth) : textOf(tag, inside)
  return value === null ? null : [tag, value, rest.subarray(end)]
}

function items(octets: Buffer, depth: number): readonly ReferenceField[] | null {
  if (depth >= depthMax) return null
  const found: ReferenceField[] = []
  for (let rest = octets; rest.length > 0; ) {
    const one = field(rest, depth + 1)
    if (one === null) return null
    found.push(['', one[0], one[1]])
    rest = one[2]
  }
  return found
}

function textOf(tag: string, octets: Buffer): string {
  return tag === 'S' ? octets.toString() : octets.toString('hex')
}

function plain(tag: string, octets: Buffer): string {
  switch (tag) {
    case 't':
      return `${octets[0] !== 0}`
    case 'b':
      return `${octets.readInt8(0)}`
    case 'B':
      return `${octets.readUInt8(0)}`
    case 's':
      return `${octets.readInt16BE(0)}`
    case 'u':
      return `${octets.readUInt16BE(0)}`
    case 'I':
      return `${octets.readInt32BE(0)}`
    case 'i':
      return `${octets.readUInt32BE(0)}`
    case 'f':
      return `${octets.readFloatBE(0)}`
    case 'd':
      return `${octets.readDoubleBE(0)}`
    case 'D':
      return `${octets.readUInt8(0)}/${octets.readUInt32BE(1)}`
    case 'T':
      return `${octets.readBigUInt64BE(0)}`
    case 'V':
      return 'null'
    default:
      return `${octets.readBigInt64BE(0)}`
  }
}
