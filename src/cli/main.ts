#!/usr/bin/env node
/** The command `leveret`. Each subcommand is a file of its own, loaded when it is called, so that `serve` starts quickly. */
import { Argument, Command, CommanderError, Option } from 'commander'
import { version } from '../client/version.ts'
import { addAdministration } from './admin-program.ts'
import { fail } from './fail.ts'
import { common, defaultUrl, start, target } from './program-parts.ts'
import { addQueueCommands } from './queue-program.ts'

const dataFolder = 'where messages are kept'

function program(): Command {
  const root = new Command('leveret')
    .description('Message queues in a folder: serve them, send to them, receive from them.')
    .version(version)
    .exitOverride()
    // `leveret asyncapi --version 2.0.0` means the version of the contracts.
    .enablePositionalOptions()
    .configureOutput({ writeErr: () => {} })
    .addHelpText(
      'after',
      '\nStart with:\n  leveret demo\n  leveret serve\n  echo hello | leveret send greetings\n  leveret receive greetings',
    )
  addServe(root)
  addSend(root)
  addReceive(root)
  addQueues(root)
  addQueueCommands(root)
  addSchedules(root)
  addStats(root)
  addAdministration(root)
  addVerify(root)
  addInspect(root)
  addBackup(root)
  addRestore(root)
  addCompact(root)
  addSalvage(root)
  addAsyncApi(root)
  addDemo(root)
  return root
}

function addServe(root: Command): void {
  common(root.command('serve'))
    .description('Serve a data folder, or memory, over AMQP 0-9-1.')
    .addOption(new Option('--data <folder>', 'where messages are kept').default('./data').conflicts('memory'))
    .addOption(new Option('--memory', 'keep nothing: all is gone with the process').default(false))
    .addOption(
      new Option('--durability <level>', 'when a message counts as stored: fsync, write or none')
        .default('fsync')
        .conflicts('memory'),
    )
    .addOption(
      new Option('--deliver-after <time>', 'when a stored message is handed out: accept, or sync')
        .default('accept')
        .conflicts('memory'),
    )
    .option('--amqp-port <port>', 'TCP port; 0 takes a free one', '5672')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option(
      '--tls-cert <file>',
      'serve TLS too, with this certificate in PEM; renewed files are read without a restart',
    )
    .option('--tls-key <file>', 'its private key, in PEM')
    .option('--tls-ca <file>', 'who vouches for certificates of clients, in PEM: they can log in with one (EXTERNAL)')
    .option('--tls-verify <how>', 'clients may show a certificate: none, optional (default with --tls-ca), or require')
    .option('--tls-user <part>', 'who a client is by its certificate: cn, dn or san', 'cn')
    .option('--tls-port <port>', 'TCP port of TLS; 0 takes a free one', '5671')
    .option('--tls-only', 'do not serve without TLS', false)
    .option('--message-bytes-max <bytes>', 'the largest body that is taken, up to 134217728', '16777216')
    .option('--definitions <file>', 'take in users, queues and all else that the file defines, before anybody connects')
    .option('--network-folder', 'the folder may be on a network file system; no other machine may open it', false)
    .action((options: object) => start(options, () => import('./serve.ts')))
}

function addSend(root: Command): void {
  common(root.command('send'))
    .description('Send each line of standard input as a message, and wait until all are stored.')
    .argument('<queue>', 'created durable if it is not there')
    .option('--to <target>', target, defaultUrl)
    .option('--skip <lines>', 'begin behind so many lines', '0')
    .option('--window <messages>', 'lines on their way at the same time', '1000')
    .option('--content-type <type>', 'of the messages', 'text/plain')
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./send.ts')))
}

function addReceive(root: Command): void {
  common(root.command('receive'))
    .description('Print messages, one per line, and acknowledge them once they are written.')
    .argument('<queue>', 'created durable if it is not there')
    .option('--from <target>', target, defaultUrl)
    .option('--count <messages>', 'stop after so many')
    .option('--idle <time>', "stop after so long without a message, such as '1s'; a folder: when it is empty")
    .option('--prefetch <messages>', 'messages on their way at the same time', '1000')
    .option('--no-ack', 'leave the messages in the queue')
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./receive.ts')))
}

function addQueues(root: Command): void {
  common(root.command('queues'))
    .description('List queues: what waits, what is being worked on, who consumes.')
    .argument('[names...]', 'only these; a broker other than Leveret has to be told them')
    .option('--at <target>', target, defaultUrl)
    .action((names: string[], options: object) => start({ names, ...options }, () => import('./queues.ts')))
}

function addSchedules(root: Command): void {
  common(root.command('schedules'))
    .description('List what the broker sends by the clock; pause, resume, run or remove one of them.')
    .addArgument(
      new Argument('[verb]', 'what to do').choices(['list', 'pause', 'resume', 'run', 'remove']).default('list'),
    )
    .argument('[name]', 'of the schedule')
    .option('--at <target>', target, defaultUrl)
    .action((verb: string, name: string | undefined, options: object) =>
      start({ verb, name, ...options }, () => import('./schedules.ts')),
    )
}

function addStats(root: Command): void {
  common(root.command('stats'))
    .description('Tell how a queue does: lengths, rates, waits, what is to be expected, and what if.')
    .argument('<queue>')
    .option('--at <target>', target, defaultUrl)
    .option('--workers <number>', 'what if there were so many workers')
    .option('--concurrency <messages>', 'what if each of them worked on so many messages at once')
    .option('--arrival <rate>', "what if so many messages came, such as '500/s' or '20/m'")
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./stats.ts')))
}

function addVerify(root: Command): void {
  common(root.command('verify'))
    .description('Check every byte of a folder that matters, also while it is in use. Changes nothing.')
    .argument('[folder]', dataFolder, './data')
    .addHelpText('after', '\nExit status: 0 all is well, 1 something is damaged, 2 it cannot be said.')
    .action((folder: string, options: object) => start({ folder, ...options }, () => import('./verify.ts')))
}

function addInspect(root: Command): void {
  common(root.command('inspect'))
    .description('Show what is in a folder, in a queue, or in one file. Changes nothing.')
    .argument('[folder]', dataFolder, './data')
    .addOption(new Option('--queue <name>', 'show the messages that wait in it').conflicts('file'))
    .option('--file <path>', 'show a segment, cold segment, checkpoint or page file, such as log/0000000001.log')
    .option('--limit <lines>', 'stop after so many messages or lines; 0: never', '100')
    .action((folder: string, options: object) => start({ folder, ...options }, () => import('./inspect.ts')))
}

function addBackup(root: Command): void {
  common(root.command('backup'))
    .description('Make a second folder with everything that was confirmed, also while the first one is in use.')
    .argument('<folder>', dataFolder)
    .argument('<target>', 'a folder that is empty or not there')
    .action((folder: string, target: string, options: object) =>
      start({ folder, target, ...options }, () => import('./backup.ts')),
    )
}

function addRestore(root: Command): void {
  common(root.command('restore'))
    .description('Check a backup, then make a folder from it. The backup stays as it is.')
    .argument('<backup>', 'what leveret backup made')
    .argument('<folder>', 'a folder that is empty or not there')
    .option('--force', 'restore what is there although it is damaged', false)
    .action((backup: string, folder: string, options: object) =>
      start({ backup, folder, ...options }, () => import('./restore.ts')),
    )
}

function addCompact(root: Command): void {
  common(root.command('compact'))
    .description('Give back the space that nothing needs, in a folder that nobody uses.')
    .argument('<folder>', dataFolder)
    .action((folder: string, options: object) => start({ folder, ...options }, () => import('./compact.ts')))
}

function addSalvage(root: Command): void {
  common(root.command('salvage'))
    .description('Open a damaged folder and keep all of it that can be read. Shows what is wrong first.')
    .argument('<folder>', dataFolder)
    .option('--yes', 'do it: without this nothing is changed', false)
    .action((folder: string, options: object) => start({ folder, ...options }, () => import('./salvage.ts')))
}

function addAsyncApi(root: Command): void {
  common(root.command('asyncapi'))
    .description('Print the AsyncAPI 3 document of the contracts that a file exports.')
    .argument('<file>', 'what calls defineQueue, defineEvent, defineCall: .ts, .js, .mjs; it is run')
    .option('--title <text>', 'of the application; otherwise what package.json says')
    .option('--version <version>', 'of the contracts; otherwise what package.json says')
    .option('--server <url>', 'where they are served: an amqp:// URL, or name=URL; may be repeated', collect)
    .action((file: string, options: object) => start({ file, ...options }, () => import('./asyncapi.ts')))
}

function addDemo(root: Command): void {
  common(root.command('demo'))
    .description('Show queue, events, callbacks and calls at work, and the numbers, for some seconds.')
    .option('--data <folder>', 'keep the messages there; otherwise they are in memory')
    .option('--seconds <count>', 'how long', '10')
    .option(
      '--plain',
      'a line per second instead of a screen; so it is without a terminal, and with NO_COLOR or CI',
      false,
    )
    .action((options: object) => start(options, () => import('./demo.ts')))
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

async function main(): Promise<void> {
  const root = program()
  // Whoever read our output may go away; a broker does not end for that.
  process.stdout.on('error', () => {})
  if (process.argv.length === 2) return root.outputHelp()
  try {
    await root.parseAsync()
  } catch (error) {
    // Help and version were printed; everything else is a word that commander does not know.
    if (error instanceof CommanderError && error.exitCode === 0) return
    const { argv } = process
    process.exitCode = fail(error, { debug: argv.includes('--debug'), json: argv.includes('--json') })
  }
}

void main()
