/** The real machine. */
import { NodeClock } from './node-clock.ts'
import { NodeCrypto } from './node-crypto.ts'
import { NodeDisk } from './node-disk.ts'
import { NodeHost } from './node-host.ts'
import { NodeNetwork } from './node-network.ts'
import { NodeRandom } from './node-random.ts'
import { NodeThreads } from './node-threads.ts'
import type { Platform } from './platform.ts'

export class NodePlatform implements Platform {
  readonly clock: NodeClock = new NodeClock()
  readonly disk: NodeDisk = new NodeDisk()
  readonly network: NodeNetwork = new NodeNetwork()
  readonly random: NodeRandom = new NodeRandom()
  readonly crypto: NodeCrypto = new NodeCrypto()
  readonly host: NodeHost = new NodeHost()
  readonly threads: NodeThreads = new NodeThreads()
}
