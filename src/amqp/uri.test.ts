// Addresses as people write them, and passwords that must not show.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseUri, redactUri } from './uri.ts'

const plain = { tls: false, host: 'localhost', port: 5672, user: 'guest', password: 'guest', virtualHost: '/' }
const noTls = { caFile: null, certFile: null, keyFile: null, serverName: null, verify: true, external: false }
const untold = { heartbeatSeconds: null, frameBytesMax: null, channelsMax: null, connectTimeoutMs: null, ...noTls }

test('what is missing has RabbitMQ’s defaults', () => {
  expect(parseUri('amqp://')).toEqual({ ...plain, ...untold })
  expect(parseUri('amqp://localhost')).toEqual({ ...plain, ...untold })
  expect(parseUri('amqp://localhost/')).toEqual({ ...plain, ...untold })
  expect(parseUri('amqps://rabbit')).toEqual({ ...plain, ...untold, tls: true, host: 'rabbit', port: 5671 })
})

test('all parts are read and percent-decoded', () => {
  const address =
    'amqp://us%65r:p%40ss%2F@[::1]:1234/v%2Fh?heartbeat=0&frame_max=4096&channel_max=7&connection_timeout=50&x=y'
  expect(parseUri(address)).toEqual({
    ...noTls,
    tls: false,
    host: '::1',
    port: 1234,
    user: 'user',
    password: 'p@ss/',
    virtualHost: 'v/h',
    heartbeatSeconds: 0,
    frameBytesMax: 4096,
    channelsMax: 7,
    connectTimeoutMs: 50,
  })
})

test('an address that cannot be used is refused without its password', () => {
  for (const address of [
    'http://u:secret@host',
    'amqp://u:secret@host:port',
    'amqp://u:secret@ho st',
    'amqp://u:secret@host/%',
    'amqp://u:secr@et@host:99999',
    'u:secret@host',
    'amqp://u:secret@host?heartbeat=x',
    'amqp://u:secret@host?frame_max=-1',
    'amqp://u:secret@host?frame_max=200000',
    '',
  ]) {
    let message = ''
    try {
      parseUri(address)
    } catch (error) {
      message = String((error as Error).stack) + JSON.stringify(error)
    }
    expect(message, address).toContain('E_BAD_URL')
    expect(message, address).not.toContain('secr')
  }
})

test('any user, password and virtual host come back', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 })
  fc.assert(
    fc.property(text, text, text, (user, password, virtualHost) => {
      const [one, two, three] = [user, password, virtualHost].map(encodeURIComponent) as [string, string, string]
      // A URL folds `.` and `..` in its path.
      fc.pre(three !== '.' && three !== '..')
      const address = `amqp://${one}:${two}@h/${three}`
      expect(parseUri(address)).toMatchObject({ user, password, virtualHost })
      expect(redactUri(address)).toBe(`amqp://${one}:***@h/${three}`)
    }),
  )
})

test('TLS has options of its own, as RabbitMQ’s clients write them', () => {
  const address =
    'amqps://anna@rabbit?cacertfile=/etc/ca%20x.pem&certfile=me.pem&keyfile=me.key&verify=verify_none' +
    '&server_name_indication=other&auth_mechanism=external'
  expect(parseUri(address)).toMatchObject({
    user: 'anna',
    caFile: '/etc/ca x.pem',
    certFile: 'me.pem',
    keyFile: 'me.key',
    serverName: 'other',
    verify: false,
    external: true,
  })
  expect(parseUri('amqps://rabbit?verify=verify_peer')).toMatchObject({ verify: true, external: false })
  expect(() => parseUri('amqps://u:secret@rabbit?verify=no')).toThrow("verify is 'no', but must be one of verify_peer,")
  expect(() => parseUri('amqps://u:secret@rabbit?auth_mechanism=magic')).toThrow("auth_mechanism is 'magic'")
})
