// Flipped bits are refused, reported or without meaning, never silent; `scripts/bit-flips.mjs` tries many more.
import { expect, test } from 'vitest'
import { flipBits } from './bit-flips.ts'
import { makeBusyFolder } from './busy-folder.ts'
import { tryFlip } from './flip-trial.ts'
import { mapFolder } from './folder-map.ts'
import { witnessFolder } from './witness.ts'

test('a flipped bit in any kind of file is never silent, and salvage loses no more than its record', async () => {
  const { types, problems } = await flipBits({ flips: 80, seed: 8, flipsPerFolder: 20 })
  expect(problems).toEqual([])
  for (const [type, { flips }] of Object.entries(types)) expect(flips, type).toBeGreaterThan(0)
  expect(types['body']?.strict.reported).toBeGreaterThan(0)
})

test('who gets another body than was published, or is left out under a key that nobody used, is said to be told nothing', async () => {
  const folder = await makeBusyFolder(1, 'closed')
  const before = await witnessFolder(folder)
  const [file] = mapFolder(folder.files).filter(({ type }) => type === 'ckpt')
  if (file === undefined) throw new Error('there are checkpoints')
  const large = [...before.queues].find(([, seen]) => seen.some(({ content }) => content.length > 4_000))
  if (large === undefined) throw new Error('there are large bodies')
  const [queue, seen] = large
  const changed = seen.map((one) => (one.content.length > 4_000 ? { ...one, content: `${one.content}!` } : one))
  const other = await tryFlip(folder, { ...before, queues: new Map(before.queues).set(queue, changed) }, file, 20, 1)
  expect(other.strict).toBe('silent')
  const leftOut = await tryFlip(folder, { ...before, keys: before.keys.slice(1) }, file, 20, 1)
  expect([leftOut.strict, leftOut.problems[0]]).toEqual(['silent', `silent: keys that nobody used: ${before.keys[0]}`])
})

test('who opens a folder in which a message is not what it was is said to be told nothing', async () => {
  const folder = await makeBusyFolder(1, 'closed')
  const before = await witnessFolder(folder)
  const [file] = mapFolder(folder.files).filter(({ type }) => type === 'ckpt')
  if (file === undefined) throw new Error('there are checkpoints')
  const slow = before.queues.get('slow') ?? []
  const last = slow.at(-1)?.content ?? ''
  const changed = new Map(before.queues).set('slow', [
    ...slow.slice(0, -1),
    { content: `${last}!`, redelivered: false },
  ])
  const trial = await tryFlip(folder, { ...before, queues: changed }, file, 20, 1)
  expect(trial.strict).toBe('silent')
  expect(trial.problems[0]).toMatch(/^silent: missing slow 1; too much slow 1/)
})

test('two folders of one seed are the same', async () => {
  const [one, other] = [await makeBusyFolder(3, 'killed'), await makeBusyFolder(3, 'killed')]
  expect([...other.files]).toEqual([...one.files])
})
