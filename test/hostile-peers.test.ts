// Peers that have logged in and ask for more than anybody should give: the broker behind the real server stays within bounds.
import { expect, test } from 'vitest'
import { emptyTable } from '../src/model/field-table.ts'
import { limits } from '../src/model/limits.ts'
import { NodeClock } from '../src/platform/node-clock.ts'
import { FuzzWorld } from '../src/testing/fuzz/fuzz-world.ts'
import { WireClient } from './support/wire-client.ts'

const plan = { seed: 1, isStored: false, pieceBytesMax: 65_536, crumbsMax: 0, messageBytesMax: 16_777_216 }
const declaration = {
  passive: false,
  durable: false,
  exclusive: false,
  autoDelete: false,
  noWait: false,
  arguments: emptyTable,
}

async function openWorld(): Promise<FuzzWorld> {
  return await FuzzWorld.open(plan, new NodeClock())
}

/** Logged in, with channel 1. */
async function enter(world: FuzzWorld): Promise<WireClient> {
  const client = new WireClient(await world.connect())
  client
    .header_()
    .startOk()
    .tuneOk()
    .send(0, 'connection.open', { virtualHost: '/' })
    .send(1, 'channel.open', {})
    .flush()
  await world.clock.advance(20)
  client.take()
  return client
}

/** Bytes that the server has written and the network has not taken. */
function pendingAtServer(client: WireClient): number {
  return (client.connection as unknown as { peer: { pendingBytes: number } }).peer.pendingBytes
}

test('a client that gets one large message hundreds of times in one breath, and reads nothing, has little of it waiting', async () => {
  const world = await openWorld()
  const client = await enter(world)
  client
    .send(1, 'queue.declare', { ...declaration, queue: 'q' })
    .publish(1, 'q', Buffer.alloc(100_000, 1))
    .flush()
  await world.clock.advance(50)
  client.take()
  client.connection.pause()
  for (let count = 0; count < 300; count++) {
    client.send(1, 'basic.get', { queue: 'q', noAck: false })
    client.send(1, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true })
  }
  client.flush()
  await world.clock.advance(100)
  expect(pendingAtServer(client)).toBeGreaterThan(0)
  expect(pendingAtServer(client)).toBeLessThan(2 * limits.connectionPendingBytesMax)
  client.connection.resume()
  await world.clock.advance(1_000)
  const answers = client.take()
  expect(answers).toHaveLength(300)
  expect(answers.every(({ name, message }) => name === 'basic.get-ok' && message?.bodyBytes === 100_000)).toBe(true)
  await world.close()
  expect(world.errors).toEqual([])
})

test('a client whose commands are not answered, because it does not read, is read no further after some thousands', async () => {
  const world = await openWorld()
  const client = await enter(world)
  client
    .send(1, 'queue.declare', { ...declaration, queue: 'q' })
    .publish(1, 'q', Buffer.alloc(1_500_000, 1))
    .flush()
  await world.clock.advance(50)
  client.connection.pause()
  const count = 20_000
  for (let sent = 0; sent < count; sent++) {
    client.send(1, 'basic.get', { queue: 'q', noAck: false })
    client.send(1, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true })
  }
  client.flush()
  await world.clock.advance(200)
  const waiting = (client.connection as unknown as { pendingBytes: number }).pendingBytes
  const bytesEach = 14 + 4 + 21
  expect(waiting).toBeGreaterThan((count - 2 * limits.commandsWaitingMax) * bytesEach)
  client.connection.destroy()
  await world.clock.advance(100)
  expect([world.server.connectionCount, world.errors]).toEqual([0, []])
})
