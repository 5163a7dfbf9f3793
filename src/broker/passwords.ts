/**
 * Whether a password is right, and what is kept of one:
 *
 *     scrypt                $scrypt$ln=15,r=8,p=1$<salt>$<hash>, base64 without padding
 *     sha256, sha512, md5   as RabbitMQ has them: base64 of four bytes of salt and the hash of salt and password
 *
 * A hash takes tens of milliseconds and 32 MiB on purpose, so at most two are made at once and few wait. Whoever was let in a
 * moment ago is let in again without one: what is remembered of the password is an HMAC with a key that ends with the process.
 */
import type { Hashing } from '../model/administration.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { ScryptCost } from '../platform/crypto.ts'
import type { Platform } from '../platform/platform.ts'
import type { User } from './access.ts'

const cost: ScryptCost = { n: 2 ** 15, r: 8, p: 1 }
const saltBytes = 16
const hashBytes = 32
const rabbitSaltBytes = 4

interface Remembered {
  readonly mac: Buffer
  readonly passwordHash: string
  readonly untilMs: number
}

export class Passwords {
  private readonly platform: Platform
  private key: Buffer | null = null
  private readonly remembered = new Map<string, Remembered>()
  private running = 0
  private readonly waiting: (() => void)[] = []

  constructor(platform: Platform) {
    this.platform = platform
  }

  /** Whether the user was let in with that password within the last minute. */
  isRemembered(user: User | undefined, password: string): boolean {
    const known = user === undefined ? undefined : this.remembered.get(user.name)
    if (user === undefined || known === undefined || known.passwordHash !== user.passwordHash) return false
    if (known.untilMs <= this.platform.clock.monotonicMs()) return false
    return this.platform.crypto.isEqual(known.mac, this.macOf(user.name, password))
  }

  /** Rejects with RESOURCE_ERROR if too many logins wait already. A user who is not there takes as long as one who is. */
  async isRight(user: User | undefined, password: string): Promise<boolean> {
    if (user?.hashing === 'initial') return this.isSame(Buffer.from(password), Buffer.from(user.passwordHash))
    const isRight = await this.verify(user, password)
    if (isRight && user !== undefined) this.remember(user, password)
    return isRight
  }

  /** As it is to be kept from now on. */
  async hash(password: string): Promise<string> {
    const salt = this.random(saltBytes)
    const hash = await this.scrypt(password, salt, cost, hashBytes)
    return `$scrypt$ln=${Math.log2(cost.n)},r=${cost.r},p=${cost.p}$${plainBase64(salt)}$${plainBase64(hash)}`
  }

  /** As RabbitMQ would keep it, at once. */
  rabbitHash(password: string): string {
    const salt = this.random(rabbitSaltBytes)
    const hash = this.platform.crypto.digest('sha256', Buffer.concat([salt, Buffer.from(password)]))
    return Buffer.concat([salt, hash]).toString('base64')
  }

  /** What was remembered of the user under another hash of the same password. */
  rehashed(user: User, password: string): void {
    this.remember(user, password)
  }

  private async verify(user: User | undefined, password: string): Promise<boolean> {
    const { hashing, passwordHash } = user ?? { hashing: 'scrypt', passwordHash: '' }
    if (isRabbits(hashing)) {
      // It costs what the others cost, so that nobody learns how a password is kept.
      await this.scrypt(password, Buffer.alloc(saltBytes), cost, hashBytes)
      const bytes = Buffer.from(passwordHash, 'base64')
      const salt = bytes.subarray(0, rabbitSaltBytes)
      const hash = this.platform.crypto.digest(hashing, Buffer.concat([salt, Buffer.from(password)]))
      return this.isSame(bytes.subarray(rabbitSaltBytes), hash) && password !== ''
    }
    const kept = readScrypt(passwordHash)
    const {
      salt,
      cost: keptCost,
      hash,
    } = kept ?? { salt: Buffer.alloc(saltBytes), cost, hash: Buffer.alloc(hashBytes) }
    const made = await this.scrypt(password, salt, keptCost, hash.length)
    return this.isSame(hash, made) && kept !== null && password !== ''
  }

  private isSame(one: Buffer, other: Buffer): boolean {
    return this.platform.crypto.isEqual(one, other)
  }

  private remember(user: User, password: string): void {
    const { remembered } = this
    const untilMs = this.platform.clock.monotonicMs() + limits.loginRememberedMs
    if (remembered.size >= limits.loginsRememberedMax) remembered.clear()
    remembered.set(user.name, { mac: this.macOf(user.name, password), passwordHash: user.passwordHash, untilMs })
  }

  private macOf(name: string, password: string): Buffer {
    this.key ??= this.random(hashBytes)
    return this.platform.crypto.authenticate(this.key, Buffer.from(`${name.length} ${name} ${password}`))
  }

  private random(bytes: number): Buffer {
    const buffer = Buffer.alloc(bytes)
    this.platform.random.fill(buffer)
    return buffer
  }

  private async scrypt(password: string, salt: Buffer, asked: ScryptCost, bytes: number): Promise<Buffer> {
    await this.turn()
    try {
      return await this.platform.crypto.scrypt(Buffer.from(password), salt, asked, bytes)
    } finally {
      this.running--
      this.waiting.shift()?.()
    }
  }

  private async turn(): Promise<void> {
    if (this.running >= limits.hashesAtOnceMax) {
      if (this.waiting.length >= limits.hashesWaitingMax) {
        throw new BrokerError('RESOURCE_ERROR', 'too many logins at the same time: try again')
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    }
    this.running++
  }
}

interface Scrypt {
  readonly salt: Buffer
  readonly cost: ScryptCost
  readonly hash: Buffer
}

/** Null: it is no hash that a password could have, or one that would take all there is. */
function readScrypt(text: string): Scrypt | null {
  const [, ln, r, p, salt = '', hash = ''] =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/-]+)\$([\w+/-]+)$/.exec(text) ?? []
  const read = { n: 2 ** Number(ln), r: Number(r), p: Number(p) }
  const hashed = Buffer.from(hash, 'base64')
  if (!(read.n >= 2 && read.n <= 2 ** 17 && read.r >= 1 && read.r <= 16 && read.p >= 1 && read.p <= 4)) return null
  return hashed.length < 16 || hashed.length > 64
    ? null
    : { salt: Buffer.from(salt, 'base64'), cost: read, hash: hashed }
}

function isRabbits(hashing: Hashing): hashing is 'sha256' | 'sha512' | 'md5' {
  return hashing !== 'scrypt' && hashing !== 'initial'
}

function plainBase64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
