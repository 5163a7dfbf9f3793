/**
 * Who may log in. For now the one user every AMQP client tries first: guest/guest, from this machine only. What counts is
 * the peer's address, not the listener's.
 */

import type { Login } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'

export function authenticate(login: Login): void {
  if (login.credentials === null) return
  const { user, password } = login.credentials
  if (user !== 'guest' || password !== 'guest') {
    throw new BrokerError('ACCESS_REFUSED', `user '${printable(user)}' is unknown or the password is wrong`)
  }
  if (!isLoopback(login.remoteAddress)) {
    throw new BrokerError('ACCESS_REFUSED', `user 'guest' can only connect via localhost`)
  }
}

export function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain)
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
