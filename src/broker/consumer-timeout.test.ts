// How long a consumer may hold a message.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'

const guest = { user: 'guest', password: 'guest' }
const minute = 60_000

async function open(table: Readonly<Record<string, number>> = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = (await core.session(guest)).channel()
  channel.declareQueue('q', { arguments: table })
  channel.publish('', 'q', 'a')
  channel.publish('', 'q', 'b')
  return [core, channel]
}

const text = (ms: number): string =>
  `PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: ${ms} ms. ` +
  'This timeout value can be configured, see consumers doc guide to learn more'

describe('a consumer that holds a message', () => {
  test('for half an hour loses its channel, and the queue has the message back', async () => {
    const [core, channel] = await open()
    channel.consume('q')
    core.clock.advance(29 * minute)
    expect(channel.error).toBeNull()
    core.clock.advance(3 * minute)
    expect(channel.error?.message).toBe(text(30 * minute))
    expect(channel.takeLines().at(-1)).toMatch(/^-2 failed/)
    const other = (await core.session(guest)).channel()
    expect(other.drain('q')).toEqual(['a!', 'b!'])
  })

  test('and acknowledges in time keeps its channel for ever', async () => {
    const [core, channel] = await open()
    channel.qos(1)
    channel.consume('q')
    for (let tag = 1; tag <= 20; tag++) {
      core.clock.advance(28 * minute)
      channel.publish('', 'q', 'm')
      channel.ack(tag)
    }
    expect(channel.error).toBeNull()
  })

  test('is timed by its oldest message, whatever came and went since', async () => {
    const [core, channel] = await open()
    channel.consume('q')
    channel.ack(2)
    for (let round = 0; round < 31; round++) {
      core.clock.advance(minute)
      channel.publish('', 'q', 'm')
      if (channel.error === null) channel.ack(3 + round)
    }
    core.clock.advance(minute)
    expect(channel.error?.message).toBe(text(30 * minute))
  })

  test('has the time that the queue gives, which binds the host process too', async () => {
    const [core, channel] = await open({ 'x-consumer-timeout': 2 * minute })
    channel.consume('q')
    const host = await core.channel()
    host.declareQueue('r', { arguments: { 'x-consumer-timeout': 3 * minute } })
    host.publish('', 'r', 'm')
    host.consume('r')
    core.clock.advance(3 * minute)
    expect(channel.error?.message).toBe(text(2 * minute))
    core.clock.advance(2 * minute)
    expect(host.error?.message).toBe(text(3 * minute))
  })

  test('may take its time if it is the host process', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    channel.publish('', 'q', 'm')
    channel.consume('q')
    core.clock.advance(24 * 60 * minute)
    expect(channel.error).toBeNull()
  })
})
