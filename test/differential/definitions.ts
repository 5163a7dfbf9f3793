// What both brokers are given before the conversations: users with few rights, a small virtual host, policies. Rights go by the
// letters behind the hyphen of a name: c may be configured, w written, r read.
import { createHash } from 'node:crypto'

export const password = 'open sesame'

function hashed(salt: string): string {
  const bytes = Buffer.from(salt, 'latin1')
  return Buffer.concat([bytes, createHash('sha256').update(bytes).update(password).digest()]).toString('base64')
}

const user = (name: string) => ({
  name,
  password_hash: hashed(name.slice(0, 4)),
  hashing_algorithm: 'rabbit_password_hashing_sha256',
  tags: [],
  limits: {},
})

const policy = (name: string, definition: object) => ({
  vhost: '/',
  name,
  pattern: `-${name}$`,
  'apply-to': 'queues',
  priority: 1,
  definition,
})

const everything = { configure: '.*', write: '.*', read: '.*' }

export const definitions: object = {
  users: [user('limited'), user('stranger')],
  vhosts: [{ name: '/' }, { name: 'small' }],
  permissions: [
    { user: 'limited', vhost: '/', configure: '-\\w*c', write: '-\\w*w', read: '-\\w*r' },
    { user: 'limited', vhost: 'small', ...everything },
    { user: 'guest', vhost: 'small', ...everything },
  ],
  parameters: [
    { vhost: 'small', component: 'vhost-limits', name: 'limits', value: { 'max-queues': 2, 'max-connections': 2 } },
  ],
  policies: [
    policy('capped', { 'max-length': 2 }),
    policy('refusing', { 'max-length': 1, overflow: 'reject-publish' }),
    policy('brief', { 'message-ttl': 1 }),
  ],
}
