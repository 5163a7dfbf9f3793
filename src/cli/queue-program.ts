/** The commands of the command line that work on one queue: look, empty, hold, take out, take back. */
import type { Command } from 'commander'
import { common, defaultUrl, start, target } from './program-parts.ts'

const at = ['--at <target>', target, defaultUrl] as const

export function addQueueCommands(root: Command): void {
  common(root.command('peek'))
    .description('Show messages that wait in a queue, and change nothing.')
    .argument('<queue>')
    .option('--limit <messages>', 'show so many at most', '20')
    .option('--skip <messages>', 'leave out so many of the first', '0')
    .option('--delayed', 'those that are hidden until they are due, in the order in which they are', false)
    .option(...at)
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./peek.ts')))
  common(root.command('purge'))
    .description('Remove all messages that wait in a queue, ready or delayed. Nobody is told.')
    .argument('<queue>')
    .option(...at)
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./purge.ts')))
  addPause(root)
  common(root.command('cancel'))
    .description('Remove messages that wait in a queue, by their ids. Their senders are told that they failed.')
    .argument('<queue>')
    .argument('<ids...>', 'as leveret peek shows them')
    .option(...at)
    .action((queue: string, ids: string[], options: object) =>
      start({ queue, ids, ...options }, () => import('./cancel.ts')),
    )
  common(root.command('redrive'))
    .description('Take dead letters of a queue back into it.')
    .argument('<queue>')
    .option('--from <queue>', 'the dead-letter queue; otherwise the name of the queue with .dead behind it')
    .option('--rate <rate>', "how fast, such as '50/s'; otherwise as fast as it goes")
    .option('--limit <messages>', 'so many at most')
    .option(...at)
    .action((queue: string, options: object) => start({ queue, ...options }, () => import('./redrive.ts')))
}

function addPause(root: Command): void {
  common(root.command('pause'))
    .description('Hand out nothing of a queue any more, until it is resumed; what is sent is taken.')
    .argument('<queue>')
    .option(...at)
    .action((queue: string, options: object) => start({ queue, paused: true, ...options }, () => import('./pause.ts')))
  common(root.command('resume'))
    .description('Hand out the messages of a queue again.')
    .argument('<queue>')
    .option(...at)
    .action((queue: string, options: object) => start({ queue, paused: false, ...options }, () => import('./pause.ts')))
}
