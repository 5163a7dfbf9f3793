// The tools that the suites of this folder rely on, installed by scripts/install-debian.mjs.
import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { expect, it } from 'vitest'

function output(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', timeout: 30_000 })
}

it('has a RabbitMQ server to compare with', () => {
  expect(output('dpkg-query', ['--show', '--showformat=${Version}', 'rabbitmq-server'])).toMatch(/^\d+\.\d+/)
  expect(() => accessSync('/usr/lib/rabbitmq/bin/rabbitmq-server', constants.X_OK)).not.toThrow()
})

it('has command-line clients written in C', () => {
  expect(output('amqp-publish', ['--help'])).toContain('--routing-key')
})

it('has pika, a client written in Python', () => {
  // Debian's own Python: another one that comes first on the PATH does not see Debian's modules.
  expect(output('/usr/bin/python3', ['-c', 'import pika; print(pika.__version__)'])).toMatch(/^\d+\.\d+/)
})

it('has php-amqplib, a client written in PHP', () => {
  const script = 'require "/usr/share/php/PhpAmqpLib/autoload.php"; echo PhpAmqpLib\\Package::VERSION;'
  expect(output('php', ['-r', script])).toMatch(/^\d+\.\d+/)
})

it('has a compiler for Go, and a client written in it', () => {
  expect(output('go', ['version'])).toMatch(/go\d+\.\d+/)
  expect(() => accessSync('/usr/share/gocode/src/github.com/rabbitmq/amqp091-go')).not.toThrow()
})

it('has strace to watch the system calls', () => {
  expect(output('strace', ['--version'])).toContain('strace')
})
