// Logins: how passwords are kept and compared, what a login costs, and that guessing is slow.
import { beforeEach, describe, expect, test } from 'vitest'
import type { Hashing } from '../model/administration.ts'
import { limits } from '../model/limits.ts'
import { NodeCrypto } from '../platform/node-crypto.ts'
import type { Platform } from '../platform/platform.ts'
import { hostLogin } from '../testing/core-harness.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimCrypto } from '../testing/sim-crypto.ts'
import { SimRandom } from '../testing/sim-random.ts'
import { Access, type User } from './access.ts'
import { Users } from './users.ts'

let clock: SimClock
let crypto: SimCrypto
let access: Access
let users: Users
const upgraded: User[] = []

beforeEach(() => {
  clock = new SimClock()
  crypto = new SimCrypto(clock)
  access = new Access()
  upgraded.length = 0
  const platform = { clock, crypto, random: new SimRandom(1) } as unknown as Platform
  users = new Users(platform, access, (user) => {
    upgraded.push(user)
    access.putUser(user)
  })
})

async function put(name: string, password: string): Promise<void> {
  putHash(name, 'scrypt', await clock.run(users.passwords.hash(password)))
}

function putHash(name: string, hashing: Hashing, passwordHash: string): void {
  access.putUser({ name, hashing, passwordHash, tags: [], limits: {} })
}

/** The text of the refusal; empty if he is welcome. */
async function login(user: string, password: string | null, remoteAddress = '192.0.2.1'): Promise<string> {
  const done = users.authenticate({ ...hostLogin, credentials: { user, password }, remoteAddress }).then(
    () => '',
    (error: Error) => error.message,
  )
  return clock.run(done)
}

describe('a login', () => {
  test('takes the right password alone', async () => {
    await put('u', 'secret')
    expect(await login('u', 'secret')).toBe('')
    expect(await login('u', 'Secret')).toBe("ACCESS_REFUSED - user 'u' is unknown or the password is wrong")
    expect(await login('u', '')).toContain('ACCESS_REFUSED')
    expect(await login('v', 'secret')).toContain("user 'v' is unknown or the password is wrong")
  })

  test('without a password on record takes none, not even an empty one', async () => {
    for (const hashing of ['scrypt', 'sha256', 'sha512', 'md5'] as const) {
      putHash('u', hashing, '')
      expect(await login('u', '')).toContain('ACCESS_REFUSED')
      expect(await login('u', 'anything')).toContain('ACCESS_REFUSED')
    }
  })

  test('of a user who is not there costs what one of a user who is does', async () => {
    await put('u', 'secret')
    putHash('old', 'sha256', users.passwords.rabbitHash('secret'))
    for (const name of ['u', 'old', 'nobody']) {
      const before = crypto.scrypts
      await login(name, 'wrong', `192.0.2.${name.length}`)
      expect(crypto.scrypts - before).toBe(1)
    }
  })

  test('of guest hashes nothing, before anybody has changed the password', async () => {
    expect(await login('guest', 'guest', '127.0.0.1')).toBe('')
    expect(crypto.scrypts).toBe(0)
    await put('guest', 'other')
    expect(await login('guest', 'guest', '127.0.0.1')).toContain('ACCESS_REFUSED')
    expect(await login('guest', 'other', '127.0.0.1')).toBe('')
    expect(await login('guest', 'other', '192.0.2.1')).toContain('can only connect via localhost')
  })

  test('for whom somebody else vouches needs no password, but a user', async () => {
    putHash('u', 'scrypt', '')
    expect(await login('u', null)).toBe('')
    expect(await login('v', null)).toContain('ACCESS_REFUSED')
    expect(await login('guest', null)).toContain('can only connect via localhost')
  })

  test('within a minute of another costs no hash, unless the password was changed', async () => {
    await put('u', 'secret')
    await login('u', 'secret')
    const before = crypto.scrypts
    expect(await login('u', 'secret')).toBe('')
    expect(crypto.scrypts).toBe(before)
    expect(await login('u', 'wrong')).toContain('ACCESS_REFUSED')
    await clock.advance(limits.loginRememberedMs)
    expect(await login('u', 'secret')).toBe('')
    expect(crypto.scrypts).toBe(before + 2)
    await put('u', 'changed')
    expect(await login('u', 'secret')).toContain('ACCESS_REFUSED')
  })
})

test.each(['sha256', 'sha512', 'md5'] as const)(
  "RabbitMQ's %s hash is taken, and kept as ours from then on",
  async (hashing) => {
    const salt = Buffer.from([1, 2, 3, 4])
    const hash = crypto.digest(hashing, Buffer.concat([salt, Buffer.from('pässword')]))
    putHash('u', hashing, Buffer.concat([salt, hash]).toString('base64'))
    expect(await login('u', 'password')).toContain('ACCESS_REFUSED')
    expect(upgraded).toEqual([])
    expect(await login('u', 'pässword')).toBe('')
    await clock.advance(1)
    expect(upgraded.map((user) => [user.name, user.hashing, user.passwordHash.slice(0, 22)])).toEqual([
      ['u', 'scrypt', '$scrypt$ln=15,r=8,p=1$'],
    ])
    expect(await login('u', 'pässword')).toBe('')
    await clock.advance(limits.loginRememberedMs)
    expect(await login('u', 'pässword')).toBe('')
    expect(await login('u', 'password')).toContain('ACCESS_REFUSED')
  },
)

test('a hash of which somebody made an attack is no hash', async () => {
  const before = crypto.scrypts
  for (const text of [
    '$scrypt$ln=30,r=8,p=1$c2FsdA$',
    '$scrypt$ln=15,r=99,p=9$c2FsdA$',
    '$scrypt$ln=0,r=8,p=1$c2FsdA$',
    'x',
  ]) {
    putHash('u', 'scrypt', `${text}${Buffer.alloc(32).toString('base64').replace('=', '')}`)
    expect(await login('u', 'secret', `192.0.2.${text.length}`)).toContain('ACCESS_REFUSED')
  }
  // It costs what it always does.
  expect(crypto.scrypts - before).toBe(4)
})

describe('many logins at once', () => {
  test('make two hashes at a time, and those that would be too many are told to try again', async () => {
    crypto.scryptMs = 100
    await put('u', 'secret')
    const tries = limits.hashesAtOnceMax + limits.hashesWaitingMax + 5
    const logins = Array.from({ length: tries }, (_one, at) => login('u', `wrong ${at}`, `192.0.2.${at}`))
    const texts = await Promise.all(logins)
    expect(crypto.runningMax).toBe(limits.hashesAtOnceMax)
    expect(
      texts.filter((text) => text === 'RESOURCE_ERROR - too many logins at the same time: try again'),
    ).toHaveLength(5)
    expect(texts.filter((text) => text.startsWith('ACCESS_REFUSED'))).toHaveLength(tries - 5)
  })
})

describe('who guesses', () => {
  const guess = async (times: number, address: string, user = 'u'): Promise<string> => {
    let text = ''
    for (let n = 0; n < times; n++) text = await login(user, `guess ${n}`, address)
    return text
  }

  test('has to wait after a few failures, longer each time, and costs no hash meanwhile', async () => {
    await put('u', 'secret')
    expect(await guess(limits.loginFailuresFree + 1, '192.0.2.1')).toContain('unknown or the password is wrong')
    const before = crypto.scrypts
    expect(await login('u', 'secret', '192.0.2.1')).toBe(
      'ACCESS_REFUSED - too many failed logins from 192.0.2.1: wait 1 s',
    )
    expect(crypto.scrypts).toBe(before)
    await clock.advance(1_000)
    await guess(1, '192.0.2.1')
    expect(await guess(1, '192.0.2.1')).toContain('wait 2 s')
    for (let n = 0; n < 20; n++) {
      await clock.advance(limits.loginBackoffMsMax)
      await guess(1, '192.0.2.1')
    }
    expect(await guess(1, '192.0.2.1')).toContain('wait 30 s')
  })

  test('does not keep others out, from elsewhere or on this machine, nor who has logged in already', async () => {
    await put('u', 'secret')
    await put('v', 'secret')
    expect(await login('v', 'secret', '192.0.2.1')).toBe('')
    await guess(20, '192.0.2.1')
    expect(await login('u', 'secret', '192.0.2.2')).toBe('')
    expect(await login('v', 'secret', '192.0.2.1')).toBe('')
    await clock.advance(limits.loginRememberedMs)
    await guess(20, '127.0.0.1')
    expect(await login('v', 'secret', '127.0.0.1')).toBe('')
    expect(await login('u', 'secret', '127.0.0.1')).toContain('too many failed logins')
  })

  test('is forgiven after a success, and forgotten after ten minutes', async () => {
    await put('u', 'secret')
    await guess(limits.loginFailuresFree, '192.0.2.1')
    expect(await login('u', 'secret', '192.0.2.1')).toBe('')
    expect(await guess(limits.loginFailuresFree, '192.0.2.1')).toContain('password is wrong')
    expect(await guess(1, '192.0.2.1')).toContain('password is wrong')
    expect(await guess(1, '192.0.2.1')).toContain('too many failed logins')
    await clock.advance(limits.loginFailuresRememberedMs)
    expect(await guess(limits.loginFailuresFree, '192.0.2.1')).toContain('password is wrong')
  })
})

test("RabbitMQ's own example of a hash is verified with the real algorithms", () => {
  // "Password hashing" of RabbitMQ's documentation: salt 908D C60A, password test12.
  const crypto = new NodeCrypto()
  const salted = Buffer.concat([Buffer.from('908dc60a', 'hex'), Buffer.from('test12')])
  const text = Buffer.concat([Buffer.from('908dc60a', 'hex'), crypto.digest('sha256', salted)]).toString('base64')
  expect(text).toBe('kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR')
})

test('scrypt is that of RFC 7914, and fits into the memory it is given', async () => {
  const crypto = new NodeCrypto()
  const key = await crypto.scrypt(
    Buffer.from('pleaseletmein'),
    Buffer.from('SodiumChloride'),
    { n: 16_384, r: 8, p: 1 },
    64,
  )
  expect(key.toString('hex')).toMatch(/^7023bdcb3afd7348461c06cd81fd38eb/)
  expect(await crypto.scrypt(Buffer.from('p'), Buffer.alloc(16), { n: 2 ** 15, r: 8, p: 1 }, 32)).toHaveLength(32)
})
