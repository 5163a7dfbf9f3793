// Real sockets on the loopback interface.
import { expect, test } from 'vitest'
import type { Connection } from './network.ts'
import { NodeNetwork } from './node-network.ts'

const network = new NodeNetwork()

class Recorder {
  readonly chunks: Buffer[] = []
  drains = 0
  error: Error | null = null
  readonly ended: Promise<void>
  private end: () => void = () => {}

  constructor(connection: Connection) {
    this.ended = new Promise((resolve) => {
      this.end = resolve
    })
    connection.attach({
      received: (chunk) => this.chunks.push(chunk),
      drained: () => this.drains++,
      closed: (error) => {
        this.error = error
        this.end()
      },
    })
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }
}

test('bytes written before end() arrive, each buffer comes back, both sides close without error', async () => {
  const servers: Recorder[] = []
  const listener = await network.listen('127.0.0.1', 0, (connection) => servers.push(new Recorder(connection)))
  const connection = await network.connect(listener.host, listener.port)
  const client = new Recorder(connection)
  const back: Buffer[] = []
  const buffer = Buffer.from('hello there')
  expect(connection.write(buffer, 5, (written) => back.push(written))).toBe(true)
  connection.write(Buffer.from(' you'), 4, null)
  connection.end()
  await client.ended
  await servers[0]?.ended
  expect(servers[0]?.text).toBe('hello you')
  expect(back).toEqual([buffer])
  expect(client.error).toBeNull()
  expect(connection.remotePort).toBe(listener.port)
  expect(connection.remoteAddress).toBe('127.0.0.1')
  expect(connection.write(buffer, 5, null)).toBe(false)
  await listener.close()
})

test('a slow reader makes write() say so, and drained() comes when it has read', async () => {
  let accepted: Connection | undefined
  let server: Recorder | undefined
  const listener = await network.listen('127.0.0.1', 0, (connection) => {
    accepted = connection
    connection.pause()
    server = new Recorder(connection)
  })
  const connection = await network.connect(listener.host, listener.port)
  const client = new Recorder(connection)
  let bytes = 0
  for (let more = true; more; bytes += 65536) more = connection.write(Buffer.alloc(65536, bytes), 65536, null)
  expect(connection.pendingBytes).toBeGreaterThan(1024 * 1024)
  expect(client.drains).toBe(0)
  // On a fast machine all of it may already be accepted here; then there is nothing to resume.
  while (accepted === undefined) await new Promise((resolve) => setImmediate(resolve))
  accepted.resume()
  while (client.drains === 0) await new Promise((resolve) => setImmediate(resolve))
  connection.end()
  await server?.ended
  expect(server?.chunks.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(bytes)
  await listener.close()
})

test('closing a listener frees the port and leaves open connections alone', async () => {
  let server: Recorder | undefined
  const listener = await network.listen('127.0.0.1', 0, (connection) => {
    server = new Recorder(connection)
  })
  const connection = await network.connect('127.0.0.1', listener.port)
  const client = new Recorder(connection)
  while (server === undefined) await new Promise((resolve) => setImmediate(resolve))
  await listener.close()
  await expect(network.connect('127.0.0.1', listener.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const again = await network.listen('127.0.0.1', listener.port, () => {})
  await again.close()
  connection.write(Buffer.from('still here'), 10, null)
  while (server.text === '') await new Promise((resolve) => setImmediate(resolve))
  expect(server.text).toBe('still here')
  connection.destroy()
  await client.ended
  await server.ended
})

test('a port in use is refused', async () => {
  const listener = await network.listen('127.0.0.1', 0, () => {})
  await expect(network.listen('127.0.0.1', listener.port, () => {})).rejects.toMatchObject({ code: 'EADDRINUSE' })
  await listener.close()
})
