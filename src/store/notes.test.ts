// What is remembered beside messages: for how long, how much of it, and what of it survives.
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { type Namespace, namespaces } from '../model/namespaces.ts'
import { type Note, Notes } from './notes.ts'

const { idempotency } = namespaces
const small: Namespace = { id: idempotency.id, windowMs: 1_000, notesMax: 0, bytesMax: 0 }

function keys(notes: Notes): string[] {
  return notes.logged().map(({ key }) => key)
}

describe('a note', () => {
  test('is there for the window of its namespace, and under no other key or namespace', () => {
    const notes = new Notes(null)
    notes.put(idempotency, 'k', 'v', 5_000, true)
    expect(notes.get(idempotency, 'k', 5_000 + idempotency.windowMs - 1)).toBe('v')
    expect(notes.get(idempotency, 'k', 5_000 + idempotency.windowMs)).toBeNull()
    expect(notes.get(idempotency, 'other', 5_000)).toBeNull()
    expect(notes.get({ ...idempotency, id: 99 }, 'k', 5_000)).toBeNull()
  })

  test('is replaced by a later one under its key, and is then the youngest', () => {
    const notes = new Notes(null)
    notes.put(idempotency, 'a', '1', 1, true)
    notes.put(idempotency, 'b', '2', 2, true)
    notes.put(idempotency, 'a', '3', 3, true)
    expect(notes.get(idempotency, 'a', 4)).toBe('3')
    expect(keys(notes)).toEqual(['b', 'a'])
  })

  test('takes no memory once it has expired and another comes', () => {
    const notes = new Notes(null)
    for (let at = 0; at < 10; at++) notes.put(small, `old ${at}`, '', 0, true)
    notes.put(small, 'new', '', 1_000, true)
    expect(keys(notes)).toEqual(['new'])
  })

  test('is written down only if it is to survive', () => {
    const written: Note[] = []
    const notes = new Notes((note) => written.push(note))
    notes.put(idempotency, 'a', '1', 7, true)
    notes.put(idempotency, 'b', '2', 8, false)
    expect(written).toEqual([
      { namespace: idempotency.id, key: 'a', value: '1', expiresAt: 7 + idempotency.windowMs, logged: true },
    ])
    expect(keys(notes)).toEqual(['a'])
    expect(notes.get(idempotency, 'b', 9)).toBe('2')
  })

  test('is forgotten, the oldest first, where there are more than the namespace may have', () => {
    const notes = new Notes(null)
    for (let at = 0; at < limits.notesMax + 3; at++) notes.put(idempotency, String(at), '', at, true)
    const left = keys(notes)
    expect([left.length, left[0], left.at(-1)]).toEqual([limits.notesMax, '3', String(limits.notesMax + 2)])
  })

  test('is forgotten, the oldest first, where they take more memory than the namespace may have', () => {
    const notes = new Notes(null)
    const value = 'v'.repeat(100_000)
    for (let at = 0; at < 1_000; at++) notes.put(idempotency, String(at), value, at, true)
    const left = keys(notes)
    expect(left.length).toBeGreaterThan(100)
    expect(left.length * 2 * value.length).toBeLessThanOrEqual(limits.noteBytesMax)
    expect(left.at(-1)).toBe('999')
  })

  test('can be forgotten, once, and the log is told if it knows of it', () => {
    const written: Note[] = []
    const notes = new Notes((note) => written.push(note))
    notes.put(idempotency, 'a', '1', 7, true)
    notes.put(idempotency, 'b', '2', 7, false)
    expect([notes.forget(idempotency, 'a'), notes.forget(idempotency, 'a'), notes.forget(idempotency, 'b')]).toEqual([
      true,
      false,
      true,
    ])
    expect([notes.get(idempotency, 'a', 8), notes.get(idempotency, 'b', 8)]).toEqual([null, null])
    expect(written.map(({ key, expiresAt }) => [key, expiresAt])).toEqual([
      ['a', 7 + idempotency.windowMs],
      ['a', 0],
    ])
    const recovered = new Notes(null)
    for (const note of written) recovered.restore(note)
    expect([recovered.logged(), recovered.countOf(idempotency)]).toEqual([[], 0])
  })

  test('that recovery finds counts towards the same bounds', () => {
    const notes = new Notes(null)
    for (let at = 0; at < limits.notesMax + 3; at++) {
      notes.restore({ namespace: idempotency.id, key: String(at), value: '', expiresAt: at, logged: true })
    }
    expect(keys(notes)[0]).toBe('3')
  })
})
