// What a folder's durability may be, and where there is none to choose.
import { expect, test } from 'vitest'
import { type StorageOptions, storageOptions } from './storage-options.ts'

test('without a word a message is stored when it is on the disk, and delivered at once', () => {
  const usual = { durability: 'fsync', deliverAfter: 'accept', networkFolder: false }
  expect(storageOptions('file', {})).toEqual(usual)
  expect(storageOptions('file', { durability: undefined })).toEqual(usual)
  expect(storageOptions('file', { durability: 'none', deliverAfter: 'sync' })).toEqual({
    durability: 'none',
    deliverAfter: 'sync',
    networkFolder: false,
  })
})

test.each([
  [{ durability: 'disk' }, "connect: durability is 'disk', and has to be 'fsync', 'write' or 'none'"],
  [{ durability: null }, "connect: durability is null, and has to be 'fsync', 'write' or 'none'"],
  [{ networkFolder: 'yes' }, "connect: networkFolder is 'yes', and has to be true or false"],
  [{ deliverAfter: 'fsync' }, "connect: deliverAfter is 'fsync', and has to be 'accept' or 'sync'"],
])('%o is refused with what may stand there', (options, text) => {
  const choose = (): unknown => storageOptions('file', options as StorageOptions)
  expect(choose).toThrow(expect.objectContaining({ code: 'E_BAD_OPTION' }))
  expect(choose).toThrow(text)
})

test.each([
  ['memory', { durability: 'fsync' }, 'durability is for file: alone, memory: stores nothing'],
  ['memory', { deliverAfter: 'sync' }, 'deliverAfter is for file: alone, memory: stores nothing'],
  ['amqp', { durability: 'write' }, 'durability is for file: alone, the broker at that address decides it'],
] as const)('with %s: %o is refused, for it would mean nothing', (kind, options, text) => {
  expect(() => storageOptions(kind, options)).toThrow(text)
})
