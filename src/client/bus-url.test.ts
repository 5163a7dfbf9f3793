// Where a bus lives, and what to write instead of what cannot be one.
import { describe, expect, it } from 'vitest'
import { parseBusUrl } from './bus-url.ts'

describe('parseBusUrl', () => {
  it.each([
    ['memory:', { kind: 'memory' }],
    ['memory://', { kind: 'memory' }],
    ['MEMORY:', { kind: 'memory' }],
    ['file:./data', { kind: 'file', directory: './data' }],
    ['file:data', { kind: 'file', directory: 'data' }],
    ['file:../a b/100%', { kind: 'file', directory: '../a b/100%' }],
    ['file:/var/lib/app', { kind: 'file', directory: '/var/lib/app' }],
    ['file:///var/lib/a%20b', { kind: 'file', directory: '/var/lib/a b' }],
    ['file://localhost/var', { kind: 'file', directory: '/var' }],
    ['amqp://127.0.0.1:5672', { kind: 'amqp', url: 'amqp://127.0.0.1:5672' }],
    ['amqp://user:pass@host/vhost', { kind: 'amqp', url: 'amqp://user:pass@host/vhost' }],
    ['amqps://host', { kind: 'amqp', url: 'amqps://host' }],
  ])('reads %s', (url, expected) => expect(parseBusUrl(url)).toEqual(expected))

  it.each([
    ['./data', "write 'file:./data'"],
    ['/var/lib/x', "write 'file:/var/lib/x'"],
    ['C:\\data', "write 'file:C:\\data'"],
    ['data', "write 'file:./data'"],
    [':memory:', "write 'memory:'"],
    ['memory', "write 'memory:'"],
    ['memory:jobs', "write 'memory:' alone"],
    ['localhost:5672', "write 'amqp://localhost:5672'"],
    ['127.0.0.1:5672', "write 'amqp://127.0.0.1:5672'"],
    ['redis://localhost', "write 'memory:', 'file:./data' or 'amqp://127.0.0.1:5672'"],
    ['', "write 'memory:'"],
    ['file:', "write 'file:./data'"],
    ['file://data', "write 'file:./data'"],
    ['file:///a%zz', 'as %25'],
    ['amqp://', 'amqp://'],
    ['amqp://host:port', 'amqp://user:password@host:5672/vhost'],
    [undefined, 'the URL is undefined'],
    [null, 'the URL is null'],
  ])('refuses %s and says what to write', (url, advice) => {
    expect(() => parseBusUrl(url)).toThrow(expect.objectContaining({ code: 'E_BAD_URL' }))
    expect(() => parseBusUrl(url)).toThrow(advice)
  })

  it('shows no password', () => {
    expect(() => parseBusUrl('http://user:secret@host')).toThrow('http://user:***@host')
    expect(() => parseBusUrl('amqp://user:secret@host:port')).not.toThrow('secret')
  })
})
