/**
 * Who may log in. guest may do so from this machine alone; what counts is the peer's address, not the listener's.
 */
import type { Login } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import type { Platform } from '../platform/platform.ts'
import type { Access, User } from './access.ts'
import { LoginBackoff } from './login-backoff.ts'
import { Passwords } from './passwords.ts'

export class Users {
  readonly passwords: Passwords
  private readonly access: Access
  private readonly backoff: LoginBackoff
  private readonly upgraded: (user: User) => void

  /** `upgraded` takes a user whose password is kept in a better way from now on. */
  constructor(platform: Platform, access: Access, upgraded: (user: User) => void) {
    this.access = access
    this.passwords = new Passwords(platform)
    this.backoff = new LoginBackoff(platform.clock)
    this.upgraded = upgraded
  }

  /** Rejects with ACCESS_REFUSED, or RESOURCE_ERROR if too many are at it. */
  async authenticate({ credentials, remoteAddress }: Login): Promise<void> {
    if (credentials === null) return
    const { user: name } = credentials
    const user = this.access.users.get(name)
    if (credentials.password === null) {
      if (user === undefined) throw unknown(name)
    } else await this.checkPassword(user, name, credentials.password, remoteAddress)
    if (name === 'guest' && !isLoopback(remoteAddress)) {
      throw new BrokerError('ACCESS_REFUSED', `user 'guest' can only connect via localhost`)
    }
  }

  private async checkPassword(
    user: User | undefined,
    name: string,
    password: string,
    remoteAddress: string,
  ): Promise<void> {
    const { passwords, backoff } = this
    if (passwords.isRemembered(user, password)) return
    const key = isLoopback(remoteAddress) ? `${remoteAddress} ${name}` : remoteAddress
    const waitMs = backoff.waitMs(key)
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1_000)
      throw new BrokerError('ACCESS_REFUSED', `too many failed logins from ${remoteAddress}: wait ${seconds} s`)
    }
    if (!(await passwords.isRight(user, password))) {
      backoff.failed(key)
      throw unknown(name)
    }
    backoff.succeeded(key)
    if (user !== undefined && user.hashing !== 'scrypt' && user.hashing !== 'initial') void this.upgrade(user, password)
  }

  /** Keeps the password in our own way. Nobody waits for it. */
  private async upgrade(user: User, password: string): Promise<void> {
    try {
      const passwordHash = await this.passwords.hash(password)
      // He may have a new password by now, or be gone.
      if (this.access.users.get(user.name) !== user) return
      const better: User = { ...user, passwordHash, hashing: 'scrypt' }
      this.passwords.rehashed(better, password)
      this.upgraded(better)
    } catch {
      // Too many log in just now: the next login is another chance.
    }
  }
}

export function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain)
}

function unknown(name: string): BrokerError {
  return new BrokerError('ACCESS_REFUSED', `user '${printable(name)}' is unknown or the password is wrong`)
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
