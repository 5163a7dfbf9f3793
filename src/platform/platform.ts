/**
 * Everything that is not deterministic, behind one object: time, disk, network, randomness, secrets and who we are.
 *
 * It is the first constructor argument of whatever needs it and never an import, so that the simulator can put its own
 * in place and replay one history from one seed. The real twins are the `node-*.ts` files beside this one.
 */
import type { Clock } from './clock.ts'
import type { Crypto } from './crypto.ts'
import type { Disk } from './disk.ts'
import type { Host } from './host.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import type { Threads } from './threads.ts'

export interface Platform {
  readonly clock: Clock
  readonly disk: Disk
  readonly network: Network
  readonly random: Random
  readonly crypto: Crypto
  readonly host: Host
  /** Left out where none can be started. */
  readonly threads?: Threads
}
