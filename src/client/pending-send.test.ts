// What a sender is told of one send: by the promise or by the callbacks, never by both.
import { describe, expect, it } from 'vitest'
import { LeveretError } from '../model/errors.ts'
import type { Clock } from '../platform/clock.ts'
import { capture, SingleSend } from './pending-send.ts'
import { OpenReceipt, type ReceiptCallbacks, type ReceiptKeeper } from './receipt.ts'
import type { Sent } from './sent.ts'

function keptBy(calls: (() => unknown)[]): ReceiptKeeper {
  const nothing = (): void => {}
  const callUser = (call: () => unknown): void => void calls.push(call)
  return { clock: {} as Clock, letGo: nothing, waitsFor: nothing, waitsNoMore: nothing, callUser }
}

const subject = { id: 'm1', queue: 'jobs', sender: null, isWanted: true, asksDuplicate: true }
const isLost = new LeveretError('E_CONNECTION_LOST', 'the connection is lost')

/** A send whose confirm has come, and of which nobody has said whether it is a duplicate. */
function undecided(callbacks: ReceiptCallbacks): {
  receipt: OpenReceipt
  sent: Promise<Sent>
  calls: (() => unknown)[]
} {
  const calls: (() => unknown)[] = []
  const receipt = new OpenReceipt(keptBy(calls), subject, callbacks, (value) => value)
  const sent = new Promise<Sent>(capture)
  new SingleSend('jobs', 1, receipt, receipt).stored()
  return { receipt, sent, calls }
}

describe('a send that waits to hear whether it is a duplicate', () => {
  it('says by its promise alone that nobody will know', async () => {
    const told: unknown[] = []
    const { receipt, sent, calls } = undecided({ onProcessed: (error) => told.push(error) })
    receipt.fail(isLost)
    await expect(sent).rejects.toBe(isLost)
    for (const call of calls) call()
    expect(told).toEqual([])
  })

  it('calls back with what came first, as soon as it is known', async () => {
    const told: unknown[] = []
    const { receipt, sent, calls } = undecided({
      onDelivered: () => told.push('delivered'),
      onProcessed: (_error, result) => told.push(result),
    })
    receipt.settle({ error: null, result: 'done' })
    expect(calls).toEqual([])
    receipt.isDuplicateOf('m0')
    expect((await sent).id).toBe('m0')
    for (const call of calls) call()
    expect(told).toEqual(['delivered', 'done'])
  })

  it('does not call back who has let go of the receipt in between', () => {
    const told: unknown[] = []
    const { receipt, calls } = undecided({
      onDelivered: () => told.push('delivered'),
      onProcessed: () => told.push('end'),
    })
    receipt.isFirst()
    receipt.settle({ error: null, result: 1 })
    receipt.forget()
    for (const call of calls) call()
    expect(told).toEqual([])
  })
})
