/** `leveret vhost`: names apart from each other. */
import { administer, listed, sayDone } from './administer.ts'
import type { Reporting } from './fail.ts'
import { table } from './table.ts'

interface VirtualHostCommand extends Reporting {
  readonly action: 'put' | 'delete' | 'list'
  readonly name: string
  readonly description?: string
  readonly at: string
}

export async function run({ action, name, description = '', at, json }: VirtualHostCommand): Promise<number> {
  if (action === 'list') return await list(at, json)
  const metadata = description === '' ? {} : { description }
  if (action === 'put') await administer(at, { type: 'leveret.put-virtual-host', virtualHost: name, metadata })
  else await administer(at, { type: 'leveret.delete-virtual-host', virtualHost: name })
  sayDone(json, { virtualHost: name, done: action })
  return 0
}

async function list(at: string, json: boolean): Promise<number> {
  const hosts = (await listed(at, 'vhosts')).map((host) => ({
    name: host['name'] as string,
    description: host['description'] as string,
  }))
  if (json) for (const host of hosts) process.stdout.write(`${JSON.stringify(host)}\n`)
  else
    process.stdout.write(
      table(
        ['virtual host', 'description'],
        hosts.map((host) => [host.name, host.description]),
      ),
    )
  return 0
}
