// Octets in error texts, as RabbitMQ shows them.
import { expect, test } from 'vitest'
import { frameText, octetList } from './octet-text.ts'

test.each([
  ['', 'type 3, all octets = <<>>'],
  ['\x00\x3c', 'type 3, all octets = <<0,60>>'],
  ['A', 'type 3, all octets = <<"A">>'],
  ['say "\\"', 'type 3, all octets = <<"say \\"\\\\\\"">>'],
  ['caf\xe9', 'type 3, all octets = <<99,97,102,233>>'],
  ['0123456789abcdef', 'type 3, all octets = <<"0123456789abcdef">>'],
  ['0123456789abcdefg', 'type 3, first 16 octets = <<"0123456789abcdef">>'],
])('%j', (octets, text) => {
  const buffer = Buffer.from(`<${octets}>`, 'latin1')
  expect(frameText(3, buffer, 1, buffer.length - 1)).toBe(text)
})

test('a list is of numbers, and no longer than a reply-text', () => {
  expect(octetList(Buffer.from('AB'))).toBe('<<65,66>>')
  expect(octetList(Buffer.alloc(100_000))).toHaveLength(2 * 128 + 3)
})
