/**
 * Two copies of one folder go their own ways, and a segment of one gets into the other, as when a backup is copied over a
 * folder in part. Every frame in it is valid, stands where it belongs and has the right number; only the chain from frame
 * to frame tells that it is of another history.
 */

import { Prng } from '../../lib/prng.ts'
import { emptyTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties } from '../../model/properties.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { SimClock } from '../sim-clock.ts'
import type { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { openBroker, silentChannel, silentSession } from './found-state.ts'
import { SimProcess } from './sim-process.ts'

const publishesPerSegment = 2
const segments = 3

/** A copy of the disk with the mixture on it; null if no segment could be exchanged. `path` is the one that was. */
export async function mixForks(
  disk: SimDisk,
  storage: LogStoreOptions,
  isSegment: (path: string) => boolean,
): Promise<{ disk: SimDisk; path: string } | null> {
  const before = new Set(disk.paths())
  const [one, other] = [await goOn(disk, storage, 1), await goOn(disk, storage, 2)]
  const added = one.paths().filter((path) => isSegment(path) && !before.has(path))
  const path = added.slice(0, -1).find((candidate) => other.paths().includes(candidate))
  if (path === undefined) return null
  one.setContents(path, other.contents(path))
  return { disk: one, path }
}

/** A life on a copy of the disk, the same for each `fork` but for what is in the messages. */
async function goOn(disk: SimDisk, storage: LogStoreOptions, fork: number): Promise<SimDisk> {
  const clock = new SimClock()
  const copy = disk.clone(clock, 1)
  const life = new SimProcess(clock, copy, new SimNetwork(clock, new Prng(1)), new SimMachine(), '127.0.0.1', fork)
  // A checkpoint would make it unnecessary to read what is exchanged.
  const never = 1_000_000_000
  const unmarked = {
    ...storage,
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    checkpointMs: never,
    checkpointSoonMs: never,
  }
  const { broker } = await clock.run(openBroker(life, unmarked, Number.MAX_SAFE_INTEGER))
  const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
  const channel = (await clock.run(broker.openSession(login, silentSession))).openChannel(silentChannel)
  channel.execute(0, { type: 'queue.declare', queue: 'fork', ...durableQueue })
  const properties = encodeProperties({ deliveryMode: 2 })
  for (let count = 0; count < segments * publishesPerSegment; count++) {
    const body = Buffer.alloc(Math.ceil(storage.segmentBytesMax / publishesPerSegment), fork)
    channel.publish(Message.of('', 'fork', properties, body), false)
    await clock.advance(1)
  }
  // Long enough for the last frame to be proven.
  await clock.advance(3_000)
  life.kill()
  return copy
}

const durableQueue = { passive: false, durable: true, exclusive: false, autoDelete: false, arguments: emptyTable }
