// What the processes of the ledger have in common: they talk to the test in lines of JSON, and never end by themselves.
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the test gave them. */
export const args = JSON.parse(process.argv[2])

/** The built package, or a copy of it. */
export const { connect } = await import(args.library)

/** Written when it returns, so that SIGKILL takes nothing of it back. */
export function say(line) {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

/** The one definition of the queue that all of them open. */
export const workOptions = {
  keys: { concurrency: 1 },
  retry: { attempts: 3, min: '5ms', max: '40ms' },
}

/** What a broker or a namesake that was killed may lead to. */
export const expected = new Set(['E_CONNECT_FAILED', 'E_CONNECTION_LOST', 'E_CLOSED', 'E_REFUSED', 'CONNECTION_FORCED'])

/** One session after the other, for as long as the process lives: a session ends when its connection does, or by SIGTERM. */
export async function sessions(session) {
  let isOver = false
  let end = () => {}
  process.on('SIGTERM', () => {
    isOver = true
    end()
  })
  while (!isOver) {
    let bus
    try {
      const lost = new Promise((resolve) => {
        end = resolve
      })
      bus = await connect(args.url, { onError: (error) => error.code === 'E_CONNECTION_LOST' && end() })
      await session(bus, lost)
    } catch (error) {
      // The broker is away, or the one that had the inbox before is not known to be gone.
      if (!expected.has(error.code)) say({ type: 'wrong', text: `${error.stack}` })
    }
    await bus?.close().catch((error) => say({ type: 'wrong', text: `closing: ${error.stack}` }))
    if (!isOver) await sleep(10)
  }
  process.exit(0)
}
