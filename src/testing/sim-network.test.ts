// The simulated network: order within a connection, fragments, resets, half-open peers, and what a crash leaves.
import { describe, expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import type { Connection, ConnectionEvents } from '../platform/network.ts'
import { SimClock } from './sim-clock.ts'
import { SimNetwork, type SimNetworkOptions, type SimNetworkProcess } from './sim-network.ts'

class End implements ConnectionEvents {
  readonly chunks: Buffer[] = []
  drains = 0
  /** undefined: still open. */
  end: Error | null | undefined

  received(chunk: Buffer): void {
    this.chunks.push(chunk)
  }

  drained(): void {
    this.drains++
  }

  closed(error: Error | null): void {
    this.end = error
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }
}

interface Pair {
  readonly clock: SimClock
  readonly network: SimNetwork
  readonly process: SimNetworkProcess
  readonly client: Connection
  readonly server: Connection
  readonly clientEnd: End
  readonly serverEnd: End
}

async function connect(options: Partial<SimNetworkOptions> = {}): Promise<Pair> {
  const clock = new SimClock()
  const network = new SimNetwork(clock, new Prng(1), options)
  const process = network.attachProcess('127.0.0.1')
  const [clientEnd, serverEnd] = [new End(), new End()]
  let server!: Connection
  await process.listen('127.0.0.1', 5672, (connection) => {
    server = connection
    connection.attach(serverEnd)
  })
  const client = await clock.run(network.attachProcess('192.0.2.1').connect('127.0.0.1', 5672))
  client.attach(clientEnd)
  return { clock, network, process, client, server, clientEnd, serverEnd }
}

describe('a simulated connection', () => {
  test('brings bytes in order, in pieces of which some are a single byte', async () => {
    const { clock, client, server, serverEnd } = await connect({ pieceBytesMax: 10 })
    expect([server.remoteAddress, client.remotePort]).toEqual(['192.0.2.1', 5672])
    const text = Array.from({ length: 100 }, (_, number) => `line ${number}\n`).join('')
    for (let at = 0; at < text.length; at += 50) {
      const part = Buffer.from(text.slice(at, at + 50))
      client.write(part, part.length, null)
    }
    await clock.runUntilIdle()
    expect(serverEnd.text).toBe(text)
    expect(serverEnd.chunks.some((chunk) => chunk.length === 1)).toBe(true)
    expect(serverEnd.chunks.length).toBeGreaterThan(50)
  })

  test('takes the bytes of a write when they leave, and says when it has them', async () => {
    const { clock, client, serverEnd } = await connect({ crumbsMax: 0 })
    const buffer = Buffer.from('before')
    const returned: Buffer[] = []
    client.write(buffer, 6, (given) => returned.push(given))
    expect(returned).toEqual([])
    buffer.write('after!')
    await clock.runUntilIdle()
    expect(returned).toEqual([buffer])
    expect(serverEnd.text).toBe('after!')
  })

  test('fills up while the receiver does not read, and drains when it does', async () => {
    const { clock, client, server, clientEnd, serverEnd } = await connect({ windowBytes: 100, waitingBytesMax: 100 })
    server.pause()
    expect(client.write(Buffer.alloc(90), 90, null)).toBe(true)
    expect(client.write(Buffer.alloc(90), 90, null)).toBe(false)
    await clock.runUntilIdle()
    expect([client.pendingBytes, serverEnd.text.length, clientEnd.drains]).toEqual([80, 0, 0])
    server.resume()
    await clock.runUntilIdle()
    expect([client.pendingBytes, serverEnd.text.length, clientEnd.drains]).toEqual([0, 180, 1])
  })

  test('ends after what was written, on both sides', async () => {
    const { clock, network, client, server, clientEnd, serverEnd } = await connect()
    server.write(Buffer.from('answer'), 6, null)
    client.write(Buffer.from('last words'), 10, null)
    client.end()
    expect(client.write(Buffer.from('too late'), 8, null)).toBe(false)
    await clock.runUntilIdle()
    expect([serverEnd.text, clientEnd.text]).toEqual(['last words', 'answer'])
    expect([serverEnd.end, clientEnd.end, network.openConnections]).toEqual([null, null, 0])
  })

  test('is reset at both ends, or falls silent at none', async () => {
    const reset = await connect()
    expect(reset.network.resetOne()).toBe(true)
    await reset.clock.runUntilIdle()
    expect([reset.clientEnd.end, reset.serverEnd.end]).toMatchObject([{ code: 'ECONNRESET' }, { code: 'ECONNRESET' }])
    expect(reset.network.resetOne()).toBe(false)

    const silent = await connect()
    silent.network.silenceOne()
    silent.client.write(Buffer.from('hello?'), 6, null)
    await silent.clock.runUntilIdle()
    expect([silent.serverEnd.text, silent.clientEnd.end, silent.serverEnd.end]).toEqual(['', undefined, undefined])
  })

  test('dies with its process, which hears nothing of it', async () => {
    const { clock, process, client, server, clientEnd, serverEnd } = await connect()
    client.write(Buffer.from('hello?'), 6, null)
    process.crash()
    await clock.runUntilIdle()
    expect(clientEnd.end).toMatchObject({ code: 'ECONNRESET' })
    expect([serverEnd.text, serverEnd.end, server.pendingBytes]).toEqual(['', undefined, 0])
  })

  test('is refused where nobody listens, and a port is taken once', async () => {
    const { clock, network, process } = await connect()
    const other = network.attachProcess('127.0.0.1')
    await expect(clock.run(other.connect('127.0.0.1', 1))).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(other.listen('127.0.0.1', 5672, () => {})).rejects.toMatchObject({ code: 'EADDRINUSE' })
    process.crash()
    await expect(clock.run(other.connect('127.0.0.1', 5672))).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await other.listen('127.0.0.1', 5672, () => {})
  })
})
