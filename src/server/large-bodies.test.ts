// Bodies that go by in pieces: what else is said meanwhile, and what happens when a channel ends in the middle of one.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeBodies } from '../../test/support/fake-bodies.ts'
import { ServedFake } from '../../test/support/served-fake.ts'
import type { Message } from '../model/message.ts'

let served: ServedFake
let bodies: FakeBodies

beforeEach(async () => {
  served = await ServedFake.start()
  bodies = new FakeBodies()
  served.driver.bodies = bodies
})

afterEach(() => {
  expect(served.errors).toEqual([])
  expect(bodies.holds).toBe(0)
})

const closing = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
const get = { queue: 'q', noAck: false }
const body = Buffer.alloc(5_000, 'b')

function gotten(message: Message) {
  return {
    type: 'basic.get-ok',
    deliveryTag: 1,
    redelivered: false,
    message,
    messageCount: 0,
  } as const
}

describe('while a large body goes out', () => {
  test('its channel does not end, even if the client said so before', async () => {
    served.driver.answers = null
    const client = await served.opened()
    expect(await served.say(client.send(1, 'basic.get', get).send(1, 'channel.close', closing))).toEqual([])
    served.driver.channel.reply(gotten(FakeBodies.message(body.length)))
    await served.settle()
    bodies.source.give(body)
    bodies.source.give(null)
    await served.settle()
    const said = client.take()
    expect(said.map(({ name }) => name)).toEqual(['basic.get-ok', 'channel.close-ok'])
    expect(said[0]?.message?.body.equals(body)).toBe(true)
  })
})
