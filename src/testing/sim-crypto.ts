/** Cryptography that hides nothing and takes as long as the test says: every hash is a seeded mix of what went in. */
import { crc32 } from '../lib/crc32.ts'
import type { Clock } from '../platform/clock.ts'
import type { Crypto, DigestAlgorithm, ScryptCost } from '../platform/crypto.ts'

export class SimCrypto implements Crypto {
  /** How long one scrypt takes, in ms; 0: it is done at once. */
  scryptMs = 0
  /** How many were asked for, are under way, and were at most. */
  scrypts = 0
  running = 0
  runningMax = 0
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  async scrypt(password: Buffer, salt: Buffer, { n, r, p }: ScryptCost, bytes: number): Promise<Buffer> {
    this.scrypts++
    this.running++
    this.runningMax = Math.max(this.runningMax, this.running)
    if (this.scryptMs > 0) await new Promise<void>((resolve) => void this.clock.setTimer(this.scryptMs, resolve))
    this.running--
    return mixed(bytes, Buffer.from(`scrypt ${n} ${r} ${p} `), salt, password)
  }

  digest(algorithm: DigestAlgorithm, data: Buffer): Buffer {
    const bytes = { sha256: 32, sha512: 64, md5: 16 }[algorithm]
    return mixed(bytes, Buffer.from(`${algorithm} `), data)
  }

  authenticate(key: Buffer, data: Buffer): Buffer {
    return mixed(32, Buffer.from('hmac '), key, data)
  }

  isEqual(one: Buffer, other: Buffer): boolean {
    return one.equals(other)
  }
}

function mixed(bytes: number, ...parts: readonly Buffer[]): Buffer {
  const all = Buffer.concat(parts)
  const result = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4) {
    result.writeUInt32LE(crc32(all, 0, all.length, at + 1), at)
  }
  return result
}
