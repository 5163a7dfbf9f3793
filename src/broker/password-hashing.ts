/** What definitions call the ways of hashing a password. */
import type { Hashing } from '../model/administration.ts'

const names: readonly (readonly [hashing: Exclude<Hashing, 'initial'>, name: string])[] = [
  ['scrypt', 'leveret_password_hashing_scrypt'],
  ['sha256', 'rabbit_password_hashing_sha256'],
  ['sha512', 'rabbit_password_hashing_sha512'],
  ['md5', 'rabbit_password_hashing_md5'],
]

/** Null: it is unknown. */
export function hashingOf(algorithm: string): Exclude<Hashing, 'initial'> | null {
  return names.find(([, name]) => name === algorithm)?.[0] ?? null
}

export function algorithmOf(hashing: Exclude<Hashing, 'initial'>): string {
  return names.find(([known]) => known === hashing)?.[1] ?? ''
}
