/** `leveret permission`: what users may do, and where. */
import { administer, sayDone } from './administer.ts'
import type { Reporting } from './fail.ts'

interface PermissionCommand extends Reporting {
  readonly action: 'put' | 'delete'
  readonly user: string
  readonly configure: string
  readonly write: string
  readonly read: string
  readonly vhost: string
  readonly at: string
}

export async function run(options: PermissionCommand): Promise<number> {
  const { action, user, configure, write, read, vhost: virtualHost, at, json } = options
  if (action === 'delete') await administer(at, { type: 'leveret.delete-permission', user, virtualHost })
  else await administer(at, { type: 'leveret.put-permission', user, virtualHost, configure, write, read })
  sayDone(json, { user, virtualHost, done: action })
  return 0
}
