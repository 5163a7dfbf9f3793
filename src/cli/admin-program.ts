/** The administrators' commands of the command line: definitions, users, permissions, virtual hosts, policies. */
import { type Command, Option } from 'commander'
import { common, defaultUrl, start, target } from './program-parts.ts'

const at = ['--at <target>', target, defaultUrl] as const
const virtualHost = ['--vhost <name>', 'the virtual host', '/'] as const

export function addAdministration(root: Command): void {
  addDefinitions(root)
  addUsers(root)
  addVirtualHosts(root)
  addPermissions(root)
  addPolicies(root)
}

function addDefinitions(root: Command): void {
  const definitions = root
    .command('definitions')
    .description("Users, virtual hosts, queues and all else but messages, as RabbitMQ's files.")
  common(definitions.command('export'))
    .description('Print what there is, in the form that RabbitMQ imports and exports.')
    .argument('[target]', target, defaultUrl)
    .option('--vhost <name>', 'only what is in that virtual host')
    .option('--with-hashes', 'with the hashes of passwords', false)
    .action((where: string, options: object) =>
      start({ at: where, ...options }, async () => ({ run: (await import('./definitions.ts')).runExport })),
    )
  common(definitions.command('import'))
    .description('Take in a file: all of it or nothing. Queues that are there are left as they are.')
    .argument('<file>', 'what definitions export wrote, or RabbitMQ')
    .argument('[target]', target, defaultUrl)
    .option('--vhost <name>', 'for a file of one virtual host: the one it is for')
    .action((file: string, where: string, options: object) =>
      start({ file, at: where, ...options }, async () => ({ run: (await import('./definitions.ts')).runImport })),
    )
}

function addUsers(root: Command): void {
  const user = root.command('user').description('Who may log in.')
  common(user.command('put'))
    .description('Add a user, or change one. The password comes on standard input, one line.')
    .argument('<name>')
    .option('--tags <tags>', 'administrator, policymaker, monitoring, management, impersonator; with commas', '')
    .option('--no-password', 'leave the password as it is; a new user gets none')
    .option(...at)
    .action((name: string, options: object) => start({ action: 'put', name, ...options }, () => import('./user.ts')))
  common(user.command('delete'))
    .description('Delete a user and end its connections.')
    .argument('<name>')
    .option(...at)
    .action((name: string, options: object) => start({ action: 'delete', name, ...options }, () => import('./user.ts')))
  common(user.command('list'))
    .description('List users with their tags and permissions.')
    .option(...at)
    .action((options: object) => start({ action: 'list', name: '', ...options }, () => import('./user.ts')))
}

function addVirtualHosts(root: Command): void {
  const host = root.command('vhost').description('Virtual hosts: names apart from each other.')
  common(host.command('put'))
    .description('Add a virtual host, or describe one.')
    .argument('<name>')
    .option('--description <text>', 'for people', '')
    .option(...at)
    .action((name: string, options: object) => start({ action: 'put', name, ...options }, () => import('./vhost.ts')))
  common(host.command('delete'))
    .description('Delete a virtual host with its queues and messages, and end its connections.')
    .argument('<name>')
    .option(...at)
    .action((name: string, options: object) =>
      start({ action: 'delete', name, ...options }, () => import('./vhost.ts')),
    )
  common(host.command('list'))
    .description('List virtual hosts.')
    .option(...at)
    .action((options: object) => start({ action: 'list', name: '', ...options }, () => import('./vhost.ts')))
}

function addPermissions(root: Command): void {
  const permission = root
    .command('permission')
    .description('What users may do: regular expressions that names must match.')
  common(permission.command('put'))
    .description("Say what a user may configure, write and read, such as '^orders' '.*' ''.")
    .argument('<user>')
    .argument('<configure>')
    .argument('<write>')
    .argument('<read>')
    .option(...virtualHost)
    .option(...at)
    .action((user: string, configure: string, write: string, read: string, options: object) =>
      start({ action: 'put', user, configure, write, read, ...options }, () => import('./permission.ts')),
    )
  common(permission.command('delete'))
    .description('Take a virtual host away from a user.')
    .argument('<user>')
    .option(...virtualHost)
    .option(...at)
    .action((user: string, options: object) =>
      start(
        { action: 'delete', user, configure: '', write: '', read: '', ...options },
        () => import('./permission.ts'),
      ),
    )
}

function addPolicies(root: Command): void {
  const policy = root.command('policy').description('Settings for queues and exchanges whose names match a pattern.')
  const operator = new Option('--operator', "an operator's policy, which only makes limits tighter").default(false)
  common(policy.command('put'))
    .description(`Add a policy, or replace one: leveret policy put short '^tmp' '{"max-length": 1000}'`)
    .argument('<name>')
    .argument('<pattern>', 'a regular expression')
    .argument('<definition>', 'JSON, such as {"message-ttl": 60000}')
    .option('--apply-to <what>', 'all, exchanges, queues, classic_queues, quorum_queues or streams', 'all')
    .option('--priority <number>', 'of the policies that match, the one with the highest holds', '0')
    .addOption(operator)
    .option(...virtualHost)
    .option(...at)
    .action((name: string, pattern: string, definition: string, options: object) =>
      start({ action: 'put', name, pattern, definition, ...options }, () => import('./policy.ts')),
    )
  common(policy.command('delete'))
    .description('Delete a policy.')
    .argument('<name>')
    .addOption(operator)
    .option(...virtualHost)
    .option(...at)
    .action((name: string, options: object) =>
      start({ action: 'delete', name, pattern: '', definition: '', ...options }, () => import('./policy.ts')),
    )
  common(policy.command('list'))
    .description('List policies.')
    .option(...at)
    .action((options: object) =>
      start({ action: 'list', name: '', pattern: '', definition: '', ...options }, () => import('./policy.ts')),
    )
}
