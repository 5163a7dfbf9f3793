// Field tables and properties, bent in every way, against a naive decoder: both take the same octets for the same table.
import { expect, test } from 'vitest'
import { ByteReader, ByteReaderError } from '../../lib/byte-reader.ts'
import { ByteWriter } from '../../lib/byte-writer.ts'
import { BrokerError } from '../../model/errors.ts'
import { type Decimal, type Field, type FieldTable, readTable, writeTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import { decodeProperties, encodeProperties, scanProperties } from '../../model/properties.ts'
import { makeProperties } from './content-maker.ts'
import { Dice } from './dice.ts'
import { makeTable, nestedArrays, nestedTable, trapNames } from './field-maker.ts'
import { long, short, u8, u16 } from './octets.ts'
import { changedPrototype } from './prototypes.ts'
import { type ReferenceField, type ReferenceValue, referenceTable } from './reference-table.ts'

/** What the real decoder says, in the reference's words; null if it refuses, as it may, with an error of its own. */
function decoded(octets: Buffer): readonly ReferenceField[] | null {
  const table = read(octets)
  return table === null ? null : inWords(table)
}

function read(octets: Buffer): FieldTable | null {
  try {
    const reader = new ByteReader(octets)
    const table = readTable(reader)
    return reader.remaining === 0 ? table : null
  } catch (error) {
    if (error instanceof ByteReaderError || error instanceof BrokerError) return null
    throw error
  }
}

function inWords(table: FieldTable): readonly ReferenceField[] {
  return [...table].map(([name, field]) => [name, field.tag, valueInWords(field)])
}

function valueInWords({ tag, value }: Field): ReferenceValue {
  if (tag === 'F') return inWords(value as FieldTable)
  if (tag === 'A') return (value as readonly Field[]).map((item) => ['', item.tag, valueInWords(item)])
  if (tag === 'x') return (value as Buffer).toString('hex')
  if (tag === 'D') return `${(value as Decimal).scale}/${(value as Decimal).value}`
  return String(value as string)
}

function written(table: FieldTable): Buffer {
  const writer = new ByteWriter()
  writeTable(writer, table)
  return writer.toBuffer()
}

test('a table is decoded as the reference decodes it, or refused as there, and comes back from being written', () => {
  let [taken, refused] = [0, 0]
  for (let seed = 0; seed < 30_000; seed++) {
    const dice = new Dice(seed)
    dice.bend = dice.pick([0, 0, 0.01, 0.05])
    const octets = makeTable(dice, dice.pick(['headers', 'arguments']))
    if (dice.chance(0.2)) octets[dice.below(octets.length)] = dice.below(256)
    const expected = referenceTable(octets)
    expect(decoded(octets), `seed ${seed}: ${octets.toString('hex')}`).toEqual(expected)
    if (expected === null) refused++
    else taken++
    const table = read(octets)
    // A name that is no UTF-8 has three times the octets when it is written, and may not fit.
    if (table === null || [...table.keys()].some((name) => Buffer.byteLength(name) > 255)) continue
    const again = tryWritten(table)
    if (again !== null) expect(decoded(again)).toEqual(expected)
  }
  expect(Math.min(taken, refused)).toBeGreaterThan(3_000)
  expect(changedPrototype()).toBe(null)
})

/** Null: a name deeper down does not fit. */
function tryWritten(table: FieldTable): Buffer | null {
  try {
    return written(table)
  } catch (error) {
    if (error instanceof BrokerError) return null
    throw error
  }
}

test.each('tbBsuIilfdDSxTV'.split(''))('a value of type %s is written with the octets it was read from', (tag) => {
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
    T: 8,
    d: 8,
    V: 0,
  }
  const dice = new Dice(tag.charCodeAt(0))
  for (let round = 0; round < 200; round++) {
    const size = sizes[tag]
    let value = size === undefined ? long(dice.octets(dice.below(20)).toString('hex')) : dice.octets(size)
    if (tag === 't') value = u8(round & 1)
    // What is no number has many forms, and one that is written.
    if (tag === 'f' && Number.isNaN(value.readFloatBE(0))) continue
    if (tag === 'd' && Number.isNaN(value.readDoubleBE(0))) continue
    const octets = long(Buffer.concat([short('k'), Buffer.from(tag), value]))
    expect(written(read(octets) as FieldTable)).toEqual(octets)
  }
})

test('tables and arrays nest 32 deep and no deeper, however deep they claim to: 21,845 levels fit into a frame', () => {
  const deepest = limits.tableDepthMax
  for (const levels of [1, deepest, deepest + 1, 100, 21_845]) {
    expect(decoded(nestedTable(levels)) !== null, `${levels} tables`).toBe(levels <= deepest)
    expect(decoded(nestedArrays(levels)) !== null, `${levels} arrays`).toBe(levels <= deepest)
  }
})

test('names that are traps in JavaScript are names like any other, at every depth', () => {
  for (const name of trapNames) {
    const inner = long(Buffer.concat([short(name), Buffer.from('t'), u8(1)]))
    const octets = long(Buffer.concat([short(name), Buffer.from('F'), inner]))
    expect(decoded(octets)).toEqual([[name, 'F', [[name, 't', 'true']]]])
    const properties = Buffer.concat([u16(0x2000), octets])
    const { headers } = decodeProperties(properties)
    expect(headers?.get(name)?.tag).toBe('F')
    expect(encodeProperties({ headers: headers as FieldTable })).toEqual(properties)
  }
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  expect(changedPrototype()).toBe(null)
})

test('thousands of entries in one table are taken: a frame is the limit', () => {
  const pairs = Array.from({ length: 20_000 }, (_, number) => Buffer.concat([short(`${number}`), Buffer.from('V')]))
  expect(decoded(long(Buffer.concat(pairs)))).toHaveLength(20_000)
})

test('properties that pass the scan are decoded, or refused for their headers alone', () => {
  for (let seed = 0; seed < 20_000; seed++) {
    const dice = new Dice(seed)
    dice.bend = dice.pick([0, 0.02, 0.1])
    const octets = makeProperties(dice)
    if (!passes(() => scanProperties(octets, 0, octets.length))) continue
    const hasHeaders = (octets.readUInt16BE(0) & 0x2000) !== 0
    if (!hasHeaders)
      expect(
        passes(() => decodeProperties(octets)),
        `seed ${seed}`,
      ).toBe(true)
    else passes(() => decodeProperties(octets))
  }
})

function passes(run: () => unknown): boolean {
  try {
    run()
    return true
  } catch (error) {
    if (error instanceof BrokerError) return false
    throw error
  }
}
