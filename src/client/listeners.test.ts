// What live listeners do when their queue goes away, or is refused them.
import { describe, expect, it } from 'vitest'
import { openWorld, type World } from '../../test/support/client-world.ts'
import { type ScriptedChannel, ScriptedDriver } from '../../test/support/scripted-driver.ts'
import { BrokerError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import { clientLimits } from './client-limits.ts'

interface Stage {
  readonly world: World
  readonly driver: ScriptedDriver
  /** The channel that events come through now. */
  readonly events: () => ScriptedChannel
  readonly heard: unknown[]
}

/** Answers whatever the listeners ask, as a broker would. */
async function serve({ world, driver, events }: Omit<Stage, 'heard'>): Promise<void> {
  const channel = events()
  const declare = channel.commands.findLast(({ command }) => command.type === 'queue.declare')
  const reply = { type: 'queue.declare-ok', queue: 'amq.gen-1', messageCount: 0, consumerCount: 0 } as const
  channel.events.replied(declare?.id ?? 0, reply)
  await world.settle()
  channel.answer('basic.consume')
  await world.settle()
  for (const one of driver.channels) {
    for (const { id, command } of one.commands) {
      if (command.type === 'queue.bind' || command.type === 'queue.unbind') one.events.replied(id, { type: 'ok' })
      await world.settle()
    }
  }
}

async function stage(): Promise<Stage> {
  const driver = new ScriptedDriver()
  const world = await openWorld({ driver })
  const heard: unknown[] = []
  const events = (): ScriptedChannel => {
    const isMine = (one: ScriptedChannel): boolean =>
      one.commands.some(({ command }) => command.type === 'queue.declare')
    return driver.channels.findLast(isMine) as ScriptedChannel
  }
  const on = world.bus.on('image.*', ({ data }) => void heard.push(data))
  await serve({ world, driver, events })
  await world.run(on)
  return { world, driver, events, heard }
}

function deliver(channel: ScriptedChannel, data: unknown): void {
  const properties = encodeProperties({ contentType: 'application/json', messageId: 'm' })
  const message = Message.of('amq.topic', 'image.resized', properties, Buffer.from(JSON.stringify(data)))
  channel.events.delivered('tag', 1, false, message)
  channel.events.flush()
}

describe('live listeners', () => {
  it('listen again on a queue of their own when somebody deletes theirs, and say that they may have missed events', async () => {
    const scene = await stage()
    deliver(scene.events(), 1)
    scene.events().events.cancelled('tag')
    await scene.world.settle()
    await serve(scene)
    deliver(scene.events(), 2)
    expect(scene.heard).toEqual([1, 2])
    expect(scene.world.errors).toMatchObject([{ code: 'E_CONNECTION_LOST' }])
    expect(String(scene.world.errors[0])).toContain('may have missed events')
  })

  it('do not ask for ever for a queue that is taken from them each time', async () => {
    const scene = await stage()
    for (let round = 0; round <= clientLimits.restartsMax + 1; round++) {
      scene.events().events.failed(0, new BrokerError('INTERNAL_ERROR', 'no'))
      await scene.world.settle()
    }
    expect(scene.driver.channels.length).toBeLessThan(clientLimits.restartsMax + 5)
  })

  it('do not hear an event whose data cannot be read, and the bus is told', async () => {
    const { events, heard, world } = await stage()
    const properties = encodeProperties({ contentType: 'application/json', messageId: 'm' })
    events().events.delivered('tag', 1, false, Message.of('amq.topic', 'image.a', properties, Buffer.from('{no')))
    events().events.flush()
    deliver(events(), 2)
    expect(heard).toEqual([2])
    expect(world.errors).toMatchObject([{ code: 'E_BAD_DATA' }])
  })

  it('hear nothing any more once the bus is closed', async () => {
    const { events, heard, world } = await stage()
    const channel = events()
    await world.run(world.bus.close())
    deliver(channel, 1)
    expect(heard).toEqual([])
    expect(channel.isClosed).toBe(true)
    await expect(world.bus.on('a', () => {})).rejects.toMatchObject({ code: 'E_CLOSED' })
  })
})
