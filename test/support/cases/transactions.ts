// The tx class: publishes and acknowledgements as one unit.
import { expect } from 'vitest'
import { type Case, drain, numbered, publishAll, refused, textOf } from '../conformance.ts'

export const transactionCases: readonly Case[] = [
  {
    name: 'publishes nothing before the commit, and all of it then',
    needs: 'tx',
    async run(scene) {
      const queue = scene.name('queue')
      const [channel, other] = [await scene.open(), await scene.open()]
      await channel.declareQueue(queue, { durable: true })
      await channel.txSelect()
      for (const text of numbered(3)) await channel.publish('', queue, Buffer.from(text), { deliveryMode: 2 })
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0 })
      await channel.txCommit()
      expect((await drain(other, queue)).map(textOf)).toEqual(numbered(3))
      await other.deleteQueue(queue)
    },
  },
  {
    name: 'forgets publishes and acknowledgements that are rolled back',
    needs: 'tx',
    async run(scene) {
      const queue = scene.name('queue')
      const plain = await scene.open({ confirms: true })
      await plain.declareQueue(queue, { durable: true })
      await publishAll(plain, queue, ['one', 'two'])

      const channel = await scene.open()
      await channel.txSelect()
      const one = await channel.get(queue)
      channel.ack(one!.deliveryTag)
      await channel.publish('', queue, Buffer.from('never'))
      await channel.txRollback()
      // It is still ours to acknowledge.
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 1 })
      channel.ack(one!.deliveryTag)
      await channel.txCommit()
      await channel.close()
      expect((await drain(plain, queue)).map(textOf)).toEqual(['two'])
      await plain.deleteQueue(queue)
    },
  },
  {
    name: 'takes acknowledgements back if the channel closes before the commit',
    needs: 'tx',
    async run(scene) {
      const queue = scene.name('queue')
      const plain = await scene.open({ confirms: true })
      await plain.declareQueue(queue, { durable: true })
      await publishAll(plain, queue, ['one'])
      const channel = await scene.open()
      await channel.txSelect()
      channel.ack((await channel.get(queue))!.deliveryTag)
      await channel.publish('', queue, Buffer.from('never'))
      await channel.close()
      const left = await drain(plain, queue)
      expect(left.map(textOf)).toEqual(['one'])
      expect(left[0]?.redelivered).toBe(true)
      await plain.deleteQueue(queue)
    },
  },
  {
    name: 'returns what is mandatory and goes nowhere before the commit is answered',
    needs: 'tx',
    async run(scene) {
      const channel = await scene.open()
      const returned = new Promise<number>((resolve) => channel.onReturned(({ code }) => resolve(code)))
      await channel.txSelect()
      await channel.publish('', 'nowhere', Buffer.from('back'), { mandatory: true })
      await channel.txCommit()
      expect(await returned).toBe(312)
    },
  },
  {
    name: 'is not mixed with confirms, and not used without being selected',
    needs: 'tx',
    async run(scene) {
      const confirming = await scene.open({ confirms: true })
      await refused(confirming.txSelect(), 406, 'PRECONDITION_FAILED - cannot switch from confirm to tx mode')
      const plain = await scene.open()
      await refused(plain.txCommit(), 406, 'PRECONDITION_FAILED - channel is not transactional')
      await refused((await scene.open()).txRollback(), 406, 'PRECONDITION_FAILED - channel is not transactional')
    },
  },
]
