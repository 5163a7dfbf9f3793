/**
 * What administrators do, as plain data: users, what they may do where, virtual hosts, policies, limits and definitions.
 * The words are those of RabbitMQ's management. Each command is also what is asked through `leveret.control`.
 */

/**
 * How a password was hashed: `scrypt` is ours; the others are RabbitMQ's, base64 of four bytes of salt and the hash of salt
 * and password. `initial`: the hash is the password itself, as long as nobody has changed that of guest.
 */
export type Hashing = 'scrypt' | 'sha256' | 'sha512' | 'md5' | 'initial'

/** JSON, as definitions have it. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

export type AdminCommand =
  | {
      readonly type: 'leveret.put-virtual-host'
      readonly virtualHost: string
      /** Description, tags, default queue type: kept for whoever asks. */
      readonly metadata: JsonObject
    }
  | { readonly type: 'leveret.delete-virtual-host'; readonly virtualHost: string }
  | {
      readonly type: 'leveret.put-user'
      readonly user: string
      /** Empty: no password lets him in. Null: it stays as it is. */
      readonly passwordHash: string | null
      readonly hashing: Exclude<Hashing, 'initial'>
      readonly tags: readonly string[]
    }
  | { readonly type: 'leveret.delete-user'; readonly user: string }
  | {
      readonly type: 'leveret.put-permission'
      readonly user: string
      readonly virtualHost: string
      readonly configure: string
      readonly write: string
      readonly read: string
    }
  | { readonly type: 'leveret.delete-permission'; readonly user: string; readonly virtualHost: string }
  | {
      readonly type: 'leveret.put-topic-permission'
      readonly user: string
      readonly virtualHost: string
      readonly exchange: string
      readonly write: string
      readonly read: string
    }
  | {
      readonly type: 'leveret.delete-topic-permission'
      readonly user: string
      readonly virtualHost: string
      readonly exchange: string
    }
  | {
      readonly type: 'leveret.put-policy'
      readonly virtualHost: string
      readonly name: string
      /** An operator's policy: it limits what others may set. */
      readonly operator: boolean
      readonly pattern: string
      readonly applyTo: string
      readonly priority: number
      readonly definition: JsonObject
    }
  | {
      readonly type: 'leveret.delete-policy'
      readonly virtualHost: string
      readonly name: string
      readonly operator: boolean
    }
  | {
      /** `virtualHost` null: a global parameter. Policies and limits have commands of their own. */
      readonly type: 'leveret.put-parameter'
      readonly virtualHost: string | null
      readonly component: string
      readonly name: string
      readonly value: Json
    }
  | {
      readonly type: 'leveret.delete-parameter'
      readonly virtualHost: string | null
      readonly component: string
      readonly name: string
    }
  | {
      /** max-connections and max-queues of a virtual host; less than 0: no limit. */
      readonly type: 'leveret.put-virtual-host-limits'
      readonly virtualHost: string
      readonly limits: Readonly<Record<string, number>>
    }
  | {
      /** max-connections and max-channels of a user; less than 0: no limit. */
      readonly type: 'leveret.put-user-limits'
      readonly user: string
      readonly limits: Readonly<Record<string, number>>
    }
  | {
      /** `virtualHost` null: the definitions of a whole broker. Nothing is imported unless all can be. */
      readonly type: 'leveret.import-definitions'
      readonly virtualHost: string | null
      readonly definitions: JsonObject
    }
  | {
      readonly type: 'leveret.export-definitions'
      readonly virtualHost: string | null
      /** Whether hashes of passwords are in it. */
      readonly withHashes: boolean
    }
