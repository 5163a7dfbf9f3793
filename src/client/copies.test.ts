// The copies a worker makes, where a broker would have to route by their headers to show the difference.
import { describe, expect, it } from 'vitest'
import { fromTable, toTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import { deadLetter, retryCopy } from './copies.ts'

describe('a copy', () => {
  const properties = {
    headers: toTable({ CC: ['elsewhere'], BCC: ['elsewhere'], 'x-leveret-delay': 9, kept: 1 }),
    deliveryMode: 2,
  }
  const message = Message.of('', 'jobs', encodeProperties(properties), Buffer.from('1'))
  const failure = { text: 'no', attempt: 1, realtimeMs: 5 }

  it.each([
    ['for another attempt', retryCopy(message, properties, 'jobs', failure, 0)],
    ['that is a dead letter', deadLetter(message, properties, 'jobs', 'jobs.dead', failure)],
  ])('%s is not routed to the further keys of the original once more, nor hidden once more', (_name, copy) => {
    const headers = fromTable(copy.decodeProperties().headers ?? new Map())
    expect(headers).toMatchObject({ kept: 1 })
    for (const name of ['CC', 'BCC', 'x-leveret-delay']) expect(Object.keys(headers)).not.toContain(name)
  })
})
