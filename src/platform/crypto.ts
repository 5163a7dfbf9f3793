/** What hides and compares secrets. */

export interface ScryptCost {
  /** Memory and time, a power of two. */
  readonly n: number
  readonly r: number
  readonly p: number
}

export type DigestAlgorithm = 'sha256' | 'sha512' | 'md5'

export interface Crypto {
  /** Takes a thread of the system's and tens of MiB for as long as it takes: the caller bounds how many there are. */
  scrypt(password: Buffer, salt: Buffer, cost: ScryptCost, bytes: number): Promise<Buffer>
  digest(algorithm: DigestAlgorithm, data: Buffer): Buffer
  /** HMAC with SHA-256. */
  authenticate(key: Buffer, data: Buffer): Buffer
  /** Takes the same time wherever two buffers of the same length differ. */
  isEqual(one: Buffer, other: Buffer): boolean
}
