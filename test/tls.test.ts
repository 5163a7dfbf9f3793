// TLS over real sockets: who gets in, with which certificate, and as whom. The certificates are made by
// scripts/test-certificates.sh.
import { copyFileSync, mkdirSync, readFileSync, utimesSync } from 'node:fs'
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Bus, connect, type Served, type TlsOptions } from '../src/index.ts'
import { removeFolder, temporaryFolder } from './support/temporary-folder.ts'

const certificates = fileURLToPath(new URL('certificates/', import.meta.url))
const pem = (name: string): string => join(certificates, name)
const server: TlsOptions = { cert: pem('server.pem'), key: pem('server.key'), port: 0 }
const withClients: TlsOptions = { ...server, ca: pem('ca.pem') }

const buses: Bus[] = []
let folder: string

beforeAll(() => {
  folder = temporaryFolder('tls')
})

afterEach(async () => {
  for (const bus of buses.splice(0).reverse()) await bus.close()
})

afterAll(() => removeFolder(folder))

async function serve(tls: TlsOptions): Promise<Served> {
  const bus = await connect('memory:')
  buses.push(bus)
  for (const user of ['anna', 'O=Burrow,OU=Tests,CN=anna', 'CN=anna,OU=Tests,O=Burrow', 'anna@example.org']) {
    await bus.administer({ type: 'leveret.put-user', user, passwordHash: '', hashing: 'scrypt', tags: ['management'] })
    const everything = { configure: '.*', write: '.*', read: '.*' }
    await bus.administer({ type: 'leveret.put-permission', user, virtualHost: '/', ...everything })
  }
  return bus.serve({ amqp: false, tls })
}

/** Over TLS, trusting the test authority. */
async function open(served: Served, query = '', user = ''): Promise<Bus> {
  const { port } = new URL(served.tlsUrl ?? '')
  const bus = await connect(`amqps://${user}localhost:${port}/?cacertfile=${pem('ca.pem')}${query}`)
  buses.push(bus)
  return bus
}

const shown = (name: string): string => `&certfile=${pem(`${name}.pem`)}&keyfile=${pem(`${name}.key`)}`
const external = '&auth_mechanism=external'

describe('a bus that is served over TLS', () => {
  it('carries messages both ways, small and large', async () => {
    const bus = await open(await serve(server))
    const queue = await bus.createQueue<string>('q')
    const bodies = ['small', 'x'.repeat(3_000_000)]
    for (const body of bodies) await queue.send(body)
    const received: string[] = []
    for await (const message of queue.receive({ prefetch: 1 })) {
      received.push(message.data)
      await message.ack()
      if (received.length === bodies.length) break
    }
    expect(received).toEqual(bodies)
  })

  it('says where: with plain AMQP beside it, or alone', async () => {
    const bus = await connect('memory:')
    buses.push(bus)
    const both = await bus.serve({ amqp: 0, tls: server })
    expect(both.url).toMatch(/^amqp:\/\/127\.0\.0\.1:\d+$/)
    expect(both.tlsUrl).toMatch(/^amqps:\/\/127\.0\.0\.1:\d+$/)
    const alone = await serve(server)
    expect(alone.url).toBe(alone.tlsUrl)
    expect((await bus.serve({ amqp: 0 })).tlsUrl).toBeNull()
  })

  it('is not trusted by whoever does not know its authority, or expects another name', async () => {
    const served = await serve(server)
    const { port } = new URL(served.url)
    const failed = { code: 'E_CONNECT_FAILED' }
    await expect(connect(`amqps://localhost:${port}`)).rejects.toMatchObject(failed)
    await expect(connect(`amqps://localhost:${port}?cacertfile=${pem('other-ca.pem')}`)).rejects.toMatchObject(failed)
    await expect(open(served, '&server_name_indication=example.org')).rejects.toMatchObject(failed)
    await expect(connect(`amqps://localhost:${port}?cacertfile=${pem('missing.pem')}`)).rejects.toMatchObject(failed)
    const careless = await connect(`amqps://localhost:${port}?verify=verify_none`)
    buses.push(careless)
    buses.push(await connect(`amqps://127.0.0.1:${port}?cacertfile=${pem('ca.pem')}`))
  })

  it('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    const served = await serve(server)
    const protocols: (string | null)[] = []
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      protocols.push(await protocolOf(served, { minVersion: version, maxVersion: version }))
    }
    expect(protocols).toEqual(['TLSv1.2', 'TLSv1.3'])
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    await expect(protocolOf(served, old)).rejects.toThrow()
  })

  it('lets others in while one says nothing, and survives what is no TLS', async () => {
    const served = await serve(server)
    const port = Number(new URL(served.url).port)
    const silent = connectPlain(port, '127.0.0.1')
    const plain = connectPlain(port, '127.0.0.1')
    plain.write(Buffer.from('AMQP\u0000\u0000\u0009\u0001'))
    const ended = new Promise<void>((resolve) => plain.on('error', () => {}).on('close', () => resolve()))
    await ended
    const bus = await open(served)
    await bus.createQueue('q')
    silent.destroy()
  })

  it('has at most a hundred of one address at their handshakes; those that are done do not count', async () => {
    const served = await serve(server)
    const port = Number(new URL(served.url).port)
    await open(served)
    const dropped: Socket[] = []
    const strangers = Array.from({ length: 110 }, () => {
      const socket = connectPlain(port, '127.0.0.1')
      socket.on('error', () => {}).on('close', () => dropped.push(socket))
      return socket
    })
    await expect.poll(() => dropped.length).toBe(10)
    for (const socket of strangers) socket.destroy()
    await expect.poll(() => dropped.length).toBe(110)
    await expect
      .poll(() =>
        open(served).then(
          () => 'open',
          () => 'refused',
        ),
      )
      .toBe('open')
  })

  it('says what is wrong with its files', async () => {
    const bus = await connect('memory:')
    buses.push(bus)
    const wrong: readonly (readonly [TlsOptions, string])[] = [
      [{ ...server, cert: pem('missing.pem') }, 'ENOENT'],
      [{ ...server, key: pem('client.key') }, 'key values mismatch'],
      [{ ...server, cert: pem('server.key') }, 'cannot serve on 127.0.0.1:0'],
    ]
    for (const [tls, text] of wrong) {
      const serving = bus.serve({ amqp: false, tls })
      await expect(serving).rejects.toMatchObject({ code: 'E_REFUSED', message: expect.stringContaining(text) })
    }
    for (const [tls, text] of [
      [{ ...server, verify: 'require' }, "verify is 'require', and needs ca"],
      [{ ...server, verify: 'maybe' }, "verify is 'maybe', and has to be one of none, optional, require"],
      [{ ...server, user: 'me' }, "user is 'me', and has to be one of cn, dn, san"],
      [{ key: server.key }, 'cert has to be the name of a file in PEM'],
      [{ ...server, port: 70_000 }, 'port'],
      [{ ...server, colour: 'red' }, 'colour'],
    ] as unknown as readonly (readonly [TlsOptions, string])[]) {
      const serving = bus.serve({ amqp: false, tls })
      await expect(serving).rejects.toMatchObject({ code: 'E_BAD_OPTION', message: expect.stringContaining(text) })
    }
    await expect(bus.serve({ amqp: false })).rejects.toThrow('nobody could connect')
  })
})

describe('a certificate of a client', () => {
  it.each([
    ['cn', 'anna'],
    ['dn', 'CN=anna,OU=Tests,O=Burrow'],
    ['san', 'anna@example.org'],
  ] as const)('logs in its user, by %s', async (user, name) => {
    const served = await serve({ ...withClients, user })
    const bus = await open(served, shown('client') + external)
    await bus.createQueue('q')
    // A sender can only give his own name.
    const local = buses[0] as Bus
    await local.administer({ type: 'leveret.delete-user', user: name })
    await expect(open(served, shown('client') + external)).rejects.toMatchObject({ code: 'ACCESS_REFUSED' })
  })

  it('is no password: without EXTERNAL somebody logs in as usual', async () => {
    const served = await serve(withClients)
    await open(served, shown('client'))
    await expect(open(served, shown('client'), 'anna:guess@')).rejects.toMatchObject({ code: 'ACCESS_REFUSED' })
  })

  it('cannot be done without where it is required', async () => {
    const served = await serve({ ...withClients, verify: 'require' })
    await open(served, shown('client'))
    await expect(open(served)).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
  })

  it('lets nobody in for whom no known authority vouches, whether one is required or not', async () => {
    for (const verify of ['optional', 'require'] as const) {
      const served = await serve({ ...withClients, verify })
      await expect(open(served, shown('stranger') + external)).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
      await expect(open(served, shown('stranger'))).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
    }
  })

  it('counts for nothing where nobody asks for one', async () => {
    const served = await serve(server)
    await open(served, shown('client'))
    await expect(open(served, shown('client') + external)).rejects.toThrow(
      'the broker offers only PLAIN AMQPLAIN for login',
    )
  })
})

it('a certificate that was renewed is shown to those who come then, and one that is broken is not', {
  timeout: 60_000,
}, async () => {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  mkdirSync(folder, { recursive: true })
  let seconds = 1_000_000_000
  const place = (name: string): void => {
    // The key first, and both as of another time: a pair that does not belong together is not taken.
    for (const [from, to] of [
      [`${name}.key`, key],
      [`${name}.pem`, cert],
    ] as const) {
      copyFileSync(pem(from), to)
      utimesSync(to, ++seconds, seconds)
    }
  }
  place('server')
  const served = await serve({ cert, key, port: 0 })
  const serial = async (): Promise<string> => (await certificateOf(served)).serialNumber
  const before = await serial()
  copyFileSync(pem('ca.pem'), key)
  place('renewed')
  await expect.poll(serial, { timeout: 50_000, interval: 500 }).not.toBe(before)
})

/** Of a connection made as `options` say. */
function handshake(served: Served, options: object): Promise<TLSSocket> {
  const port = Number(new URL(served.url).port)
  return new Promise((resolve, reject) => {
    const ca = readFileSync(pem('ca.pem'))
    const socket = connectTls({ host: '127.0.0.1', port, ca, servername: 'localhost', ...options })
    socket.on('error', reject)
    socket.on('secureConnect', () => resolve(socket))
  })
}

async function protocolOf(served: Served, options: object): Promise<string | null> {
  const socket = await handshake(served, options)
  const protocol = socket.getProtocol()
  socket.destroy()
  return protocol
}

async function certificateOf(served: Served): Promise<{ readonly serialNumber: string }> {
  const socket = await handshake(served, {})
  const certificate = socket.getPeerCertificate()
  socket.destroy()
  return certificate
}
