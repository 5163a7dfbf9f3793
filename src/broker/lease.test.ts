// x-expires: a queue that nobody uses goes.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'

async function open(): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: { 'x-expires': 1_000 } })
  channel.declareQueue('dead')
  return [core, channel]
}

describe('a queue that expires', () => {
  test('goes when it was unused for that time, and not before', async () => {
    const [core, channel] = await open()
    core.clock.advance(999)
    expect(channel.has('q')).toBe(true)
    core.clock.advance(1)
    expect(channel.has('q')).toBe(false)
  })

  test.each<[string, (channel: CoreChannel) => void]>([
    ['declared again', (channel) => channel.declareQueue('q', { arguments: { 'x-expires': 1_000 } })],
    ['declared passively', (channel) => channel.declareQueue('q', { passive: true })],
    ['asked for a message', (channel) => channel.get('q')],
  ])('counts from when it was %s', async (_what, use) => {
    const [core, channel] = await open()
    core.clock.advance(900)
    use(channel)
    core.clock.advance(900)
    expect(channel.has('q')).toBe(true)
    core.clock.advance(200)
    expect(channel.has('q')).toBe(false)
  })

  test('is not in use because somebody publishes to it', async () => {
    const [core, channel] = await open()
    core.clock.advance(900)
    channel.publish('', 'q', 'm')
    core.clock.advance(200)
    expect(channel.has('q')).toBe(false)
  })

  test('stays as long as it has a consumer, and that time longer', async () => {
    const [core, channel] = await open()
    channel.consume('q', { tag: 'c' })
    core.clock.advance(100_000)
    expect(channel.has('q')).toBe(true)
    channel.cancel('c')
    core.clock.advance(999)
    expect(channel.has('q')).toBe(true)
    core.clock.advance(1)
    expect(channel.has('q')).toBe(false)
  })

  test('takes its messages with it: they are no dead letters', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('dead')
    const table = { 'x-expires': 1_000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
    channel.declareQueue('q', { arguments: table })
    channel.publish('', 'q', 'm')
    core.clock.advance(1_000)
    expect(channel.drain('dead')).toEqual([])
  })

  test('does not take a queue of the same name with it that was made later', async () => {
    const [core, channel] = await open()
    core.clock.advance(900)
    channel.deleteQueue('q')
    channel.declareQueue('q')
    core.clock.advance(10_000)
    expect(channel.has('q')).toBe(true)
  })
})
