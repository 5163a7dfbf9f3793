// Which bodies are referred to, against a plain list of messages.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { BodyRefs } from './body-refs.ts'

const id = fc.integer({ min: 1, max: 5 })
const queueId = fc.integer({ min: 1, max: 3 })
const sequence = fc.integer({ min: 1, max: 30 })
const operation = fc.oneof(
  fc.record({ type: fc.constant('add' as const), queueId, sequence, id, logged: fc.boolean() }),
  fc.record({ type: fc.constant('gone' as const), queueId, sequence }),
  fc.record({ type: fc.constant('settled' as const), queueId, sequence, count: fc.integer({ min: 0, max: 40 }) }),
  fc.record({ type: fc.constant('purged' as const), queueId, sequence, held: fc.array(sequence, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('dropped' as const), queueId }),
)

interface Listed {
  readonly queueId: number
  readonly sequence: number
  readonly id: number
  readonly logged: boolean
}

test('a body may go with the last message that has it, in the frame in which the log was told last', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      let listed: Listed[] = []
      const lsns = new Map<number, number>()
      let lsn = 0
      const told: string[] = []
      const wanted: string[] = []
      const refs = new BodyRefs(
        () => lsn,
        (bodyId, after) => told.push(`${bodyId} after ${after}`),
      )
      for (const one of operations) {
        lsn++
        const isGone = (message: Listed): boolean => {
          if (one.type === 'add' || message.queueId !== one.queueId) return false
          if (one.type === 'dropped') return true
          if (one.type === 'gone') return message.sequence === one.sequence
          if (one.type === 'purged') return message.sequence < one.sequence && !one.held.includes(message.sequence)
          return message.sequence >= one.sequence && message.sequence <= one.sequence + one.count
        }
        const gone = listed.filter(isGone)
        listed = listed.filter((message) => !gone.includes(message))
        for (const message of gone) if (message.logged) lsns.set(message.id, lsn)
        for (const bodyId of new Set(gone.map((message) => message.id))) {
          if (listed.some((message) => message.id === bodyId)) continue
          wanted.push(`${bodyId} after ${lsns.get(bodyId) ?? 0}`)
          lsns.delete(bodyId)
        }
        switch (one.type) {
          case 'add':
            refs.add(one.queueId, one.sequence, one.id, one.logged)
            if (!listed.some((other) => other.queueId === one.queueId && other.sequence === one.sequence))
              listed.push(one)
            break
          case 'gone':
            refs.gone(one.queueId, one.sequence)
            break
          case 'settled':
            refs.settled(one.queueId, [one.sequence, one.sequence + one.count])
            break
          case 'purged':
            refs.purged(one.queueId, one.sequence, (other) => one.held.includes(other))
            break
          case 'dropped':
            refs.dropped(one.queueId)
        }
        expect(told.toSorted()).toEqual(wanted.toSorted())
        const logged = listed
          .filter((message) => message.logged)
          .map((message) => `${message.queueId} ${message.sequence} ${message.id}`)
        expect(
          refs
            .logged()
            .map((ref) => `${ref.queueId} ${ref.sequence} ${ref.bodyId}`)
            .toSorted(),
        ).toEqual(logged.toSorted())
        expect(refs.isEmpty).toBe(listed.length === 0)
      }
    }),
    { numRuns: 500 },
  )
})
