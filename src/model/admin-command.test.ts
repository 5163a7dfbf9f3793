// Administrators' commands as JSON: there and back, and everything that is none is refused.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adminKeys, readAdminCommand } from './admin-command.ts'
import type { AdminCommand } from './administration.ts'
import { fieldsBody } from './command-fields.ts'

const examples: readonly AdminCommand[] = [
  { type: 'leveret.put-user', user: 'ü', passwordHash: null, hashing: 'scrypt', tags: ['administrator'] },
  { type: 'leveret.put-permission', user: 'u', virtualHost: '/', configure: '', write: '.*', read: '^a' },
  { type: 'leveret.put-parameter', virtualHost: null, component: 'c', name: 'n', value: { a: [1, null] } },
  { type: 'leveret.put-user-limits', user: 'u', limits: { 'max-channels': 5 } },
  {
    type: 'leveret.put-policy',
    virtualHost: '/',
    name: 'p',
    operator: true,
    pattern: '',
    applyTo: 'all',
    priority: -1,
    definition: { expires: 1 },
  },
]

describe('a command', () => {
  test.each(examples)('is read as it was written: %j', (command) => {
    expect(readAdminCommand(command.type.slice('leveret.'.length), fieldsBody(command))).toEqual(command)
  })

  test('of another name is none', () => {
    for (const key of ['queues', '', '__proto__', 'constructor', 'toString']) {
      expect(readAdminCommand(key, Buffer.from('{}'))).toBeNull()
    }
  })

  test.each([
    ['delete-user', '', 'delete-user: its body is no JSON'],
    ['delete-user', '[]', 'delete-user: its body is no object'],
    ['delete-user', '{}', 'delete-user: user is missing'],
    ['delete-user', '{"user":5}', 'delete-user: user cannot be 5'],
    ['delete-user', '{"__proto__":{"user":"u"}}', 'delete-user: user is missing'],
    ['put-user', '{"user":"u","passwordHash":"","hashing":"initial","tags":[]}', 'hashing cannot be "initial"'],
    ['put-user', '{"user":"u","passwordHash":"","hashing":"scrypt","tags":[1]}', 'tags cannot be [1]'],
    ['put-user-limits', '{"user":"u","limits":{"max-channels":"5"}}', 'limits cannot be {"max-channels":"5"}'],
    ['put-virtual-host', '{"virtualHost":"h","metadata":null}', 'metadata cannot be null'],
  ])('that is wrong names the field: %s %s', (key, body, text) => {
    expect(() => readAdminCommand(key, Buffer.from(body))).toThrow(text)
  })

  test('has no more fields than it has', () => {
    const command = readAdminCommand('delete-user', Buffer.from('{"user":"u","type":"leveret.put-user","more":1}'))
    expect(command).toEqual({ type: 'leveret.delete-user', user: 'u' })
  })

  test('whatever comes, it is a command or a BrokerError', () => {
    fc.assert(
      fc.property(fc.constantFrom(...adminKeys), fc.oneof(fc.json(), fc.string()), (key, body) => {
        try {
          expect(readAdminCommand(key, Buffer.from(body))?.type).toBe(`leveret.${key}`)
        } catch (error) {
          expect((error as Error).message).toContain('PRECONDITION_FAILED - ')
        }
      }),
      { numRuns: 500 },
    )
  })
})
