// What changes in a message on its way out, and that nothing else does, whatever its properties hold.
import { expect, test } from 'vitest'
import { toTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import { shown } from './rewrite.ts'

function withProperties(properties: Buffer): Message {
  return Message.of('', 'q', properties, Buffer.from('a'))
}

/** Headers of these octets, and a cluster-id that is no UTF-8. */
function octets(pairs: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(pairs.length)
  return Buffer.concat([Buffer.from([0x20, 0x04]), length, pairs, Buffer.from([255]), Buffer.alloc(255, 0xff)])
}

test('a message that came back says how often, and keeps octets that are no text', () => {
  const message = shown(withProperties(octets(Buffer.from([1, 0x6b, 0x4c, 255, 255, 255, 255, 255, 255, 255, 255]))), 3)
  const bytes = message.propertyBytes
  // Its own header is as it was, with the tag that we do not write.
  expect(bytes.subarray(6, 17)).toEqual(Buffer.from([1, 0x6b, 0x4c, 255, 255, 255, 255, 255, 255, 255, 255]))
  expect(message.decodeProperties().headers?.get('x-delivery-count')).toEqual({ tag: 'l', value: 2 })
  expect(bytes.subarray(-256)).toEqual(Buffer.concat([Buffer.from([255]), Buffer.alloc(255, 0xff)]))
})

test('a message whose headers nobody can read goes out as it is', () => {
  const message = withProperties(octets(Buffer.from([1, 0x6b, 0x7a])))
  expect(shown(message, 3)).toBe(message)
})

test('keys in BCC are seen by nobody', () => {
  const headers = toTable({ BCC: ['x'], own: 1 })
  expect(shown(withProperties(encodeProperties({ headers })), 0).decodeProperties().headers).toEqual(
    toTable({ own: 1 }),
  )
})
