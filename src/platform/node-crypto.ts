/** OpenSSL's cryptography, as Node has it. */
import { createHash, createHmac, scrypt, timingSafeEqual } from 'node:crypto'
import type { Crypto, DigestAlgorithm, ScryptCost } from './crypto.ts'

export class NodeCrypto implements Crypto {
  scrypt(password: Buffer, salt: Buffer, { n, r, p }: ScryptCost, bytes: number): Promise<Buffer> {
    // It takes 128 · N · r bytes, and something for each of the p rounds.
    const maxmem = 128 * n * r + 128 * r * p + 1_048_576
    return new Promise((resolve, reject) => {
      scrypt(password, salt, bytes, { N: n, r, p, maxmem }, (error, key) =>
        error === null ? resolve(key) : reject(error),
      )
    })
  }

  digest(algorithm: DigestAlgorithm, data: Buffer): Buffer {
    return createHash(algorithm).update(data).digest()
  }

  authenticate(key: Buffer, data: Buffer): Buffer {
    return createHmac('sha256', key).update(data).digest()
  }

  isEqual(one: Buffer, other: Buffer): boolean {
    return one.length === other.length && timingSafeEqual(one, other)
  }
}
