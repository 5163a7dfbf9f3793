// What a clock tower does, and when: shared by all processes that are part of it.

import { defineEvent, defineQueue } from 'leveret'

/** @type {import('leveret').EventContract<string>} */
export const chime = defineEvent('tower.chime')

/** @type {import('leveret').QueueContract<{ bell: string }>} */
export const strokes = defineQueue('strokes')

/** Each process makes the schedules it needs when it starts, as it makes its queues: one that is there stays as it is. */
export async function schedule(/** @type {import('leveret').Bus} */ bus) {
  const queue = await bus.createQueue(strokes)
  const ring = await bus.schedule('ring', '* * * * * *', strokes, { bell: 'great bell' }) // six fields: each second
  return { queue, ring }
}
