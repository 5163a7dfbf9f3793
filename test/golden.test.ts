// Folders that earlier versions wrote, and this one (scripts/golden.mjs): what they must contain is beside them. Whatever is
// changed, they can be opened for ever.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { crc32 } from '../src/lib/crc32.ts'
import { CheckpointEncoder, decodeCheckpoint } from '../src/store/checkpoint-file.ts'
import { verifyFolder } from '../src/store/folder-verify.ts'
import { FolderView } from '../src/store/folder-view.ts'
import { placeFolder, salvageFolder, type Witness, witnessFolder } from '../src/testing/bit-flips/witness.ts'
import { goldenNames, makeGoldenFolder } from '../src/testing/golden-folder.ts'

interface Expected {
  readonly ageMs: number
  readonly topology: readonly string[]
  readonly queues: Readonly<Record<string, readonly { readonly content: string; readonly redelivered: boolean }[]>>
}

interface Golden {
  readonly files: ReadonlyMap<string, Buffer>
  readonly ageMs: number
  readonly expected: Expected
}

const root = new URL('golden/', import.meta.url)

function golden(name: string): Golden {
  const folder = new URL(`${name}/`, root)
  const expected = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8')) as Expected
  const files = new Map<string, Buffer>()
  for (const path of readdirSync(new URL('folder/', folder), { recursive: true, encoding: 'utf8' })) {
    const file = new URL(`folder/${path}`, folder)
    if (statSync(file).isFile()) files.set(`/data/${path}`, readFileSync(file))
  }
  return { files, ageMs: expected.ageMs, expected }
}

function told({ topology, queues }: Witness): Omit<Expected, 'ageMs'> {
  return { topology: topology.toSorted(), queues: Object.fromEntries(queues) }
}

/** FORMAT with a line changed, and the right checksum. */
function withFormat({ files, ageMs }: Golden, from: RegExp, to: string): Pick<Golden, 'files' | 'ageMs'> {
  const text = (files.get('/data/FORMAT') as Buffer).toString()
  const lines = text.slice(0, text.indexOf('crc ')).replace(from, to)
  const bytes = Buffer.from(lines)
  const crc = crc32(bytes, 0, bytes.length, 0).toString(16).padStart(8, '0')
  return { files: new Map([...files, ['/data/FORMAT', Buffer.from(`${lines}crc ${crc}\n`)]]), ageMs }
}

const names = readdirSync(root).sort()

test('there is a golden folder of every state of the format', () => {
  expect(names).toEqual(expect.arrayContaining([...goldenNames]))
})

describe.each(names)('the golden folder %s', (name) => {
  const folder = golden(name)
  const { topology, queues } = folder.expected

  test('opens, and has every message, byte by byte and in its order', async () => {
    const witness = await witnessFolder(folder)
    expect([witness.error, witness.failure, witness.notes, witness.damaged]).toEqual([null, null, [], []])
    expect(told(witness)).toEqual({ topology, queues })
  })

  test('is well for verify, and a salvage leaves it as it is', async () => {
    const { clock, disk, platform } = placeFolder(folder)
    const verify = async (): Promise<number> => {
      const view = await FolderView.take(disk, '/data')
      const { damages } = await verifyFolder(platform, view)
      await view.close()
      return damages
    }
    expect(await clock.run(verify())).toBe(0)
    const { files, notes, error } = await salvageFolder(folder)
    expect([notes, error]).toEqual([[], null])
    const after = told(await witnessFolder({ files, ageMs: folder.ageMs }))
    expect(Object.entries(after.queues).map(([queue, seen]) => [queue, seen.map(({ content }) => content)])).toEqual(
      Object.entries(queues).map(([queue, seen]) => [queue, seen.map(({ content }) => content)]),
    )
  })

  test('is refused with the bits and the version that is needed, if a later one had set incompatible bits', async () => {
    const later = withFormat(folder, /incompat .*\n(needs .*\n)?/, 'incompat 41\nneeds 3.4.5\n')
    const { error } = await witnessFolder(later)
    expect(error).toMatchObject({ code: 'E_FORMAT_UNSUPPORTED' })
    expect(error?.message).toMatch(/incompat bits 40 are unknown\. Use Leveret 3\.4\.5, or newer\.$/)
  })

  test('opens in spite of compatible bits; with bits for those that write it is only read', async () => {
    const compatible = await witnessFolder(withFormat(folder, /\ncompat .*\n/, '\ncompat ff\n'))
    expect(told(compatible)).toEqual({ topology, queues })
    const later = withFormat(folder, /ro_compat .*\n/, 'ro_compat 2\n')
    expect((await witnessFolder(later)).error).toMatchObject({ code: 'E_FORMAT_UNSUPPORTED' })
    const { clock, disk, platform } = placeFolder(later)
    const view = await clock.run(FolderView.take(disk, '/data'))
    expect(await clock.run(verifyFolder(platform, view))).toMatchObject({ damages: 0 })
  })
})

describe('what this version writes is what the golden folders of its format have', () => {
  test('in the log: the same bytes, from the same seed', async () => {
    const { files } = await makeGoldenFolder('1.0')
    const written = [...files].filter(([path]) => /\/(FORMAT|log\/.*)$/.test(path))
    const kept = golden('1.0').files
    // If this is meant: see "Versions" in docs/folder.md, and let scripts/golden.mjs write a folder with another name.
    for (const [path, content] of written) expect(content.equals(kept.get(path) ?? Buffer.alloc(0)), path).toBe(true)
    expect(written.length).toBeGreaterThan(3)
  })

  test('in checkpoints: what they say is encoded as it was', () => {
    const checkpoints = [...golden('1.0-checkpoints').files].filter(([path]) => path.endsWith('.ckpt'))
    expect(checkpoints).toHaveLength(2)
    for (const [path, content] of checkpoints) {
      const checkpoint = decodeCheckpoint(content)
      if (checkpoint === null) throw new Error(`${path} is whole`)
      const { id, start, topologyPosition, nextQueueId, epoch, isFinal, topology, queues, cold, pageFiles } = checkpoint
      const encoder = new CheckpointEncoder(id)
      encoder.start(start, topologyPosition, nextQueueId, epoch, isFinal)
      encoder.topology(topology)
      for (const { queueId, position, nextSequence, suspectBelow, mayExpire, lanes } of queues) {
        encoder.beginQueue(queueId, position, nextSequence, suspectBelow, mayExpire, lanes.length)
        for (const { number, pages } of lanes) {
          encoder.beginLane(number, pages.length)
          for (const page of pages) encoder.page(page)
        }
        encoder.endQueue()
      }
      encoder.cold(cold)
      encoder.finish(start.syncedLsn, pageFiles)
      expect(encoder.take().equals(content), path).toBe(true)
    }
  })
})
