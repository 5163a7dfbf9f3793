// A port to listen on, at 127.0.0.1 only.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the range that systems take for outgoing connections (Linux begins at 32,768, others at 49,152). A broker that
// is killed must get its port back: in that range a client that reconnects may be given the very port it connects to,
// and talk to itself.
const portMin = 20_000
const portMax = 32_000

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** A port of 127.0.0.1 that nobody listens on now, and that no outgoing connection will be given. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(portMin, portMax)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${portMin} and ${portMax}`)
}
