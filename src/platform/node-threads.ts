/** Real threads: Node's workers, each begun in node-thread-main. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Thread, ThreadEvents, Threads } from './threads.ts'

/** `node --input-type=module --eval …`: a thread that has the same arguments would refuse its own file. */
const isEvaluated = process.execArgv.some((one) => one.startsWith('--input-type'))

export class NodeThreads implements Threads {
  readonly parallelism: number = availableParallelism()

  start(program: URL, data: unknown, events: ThreadEvents): Thread {
    const worker = new Worker(new URL('./node-thread-main.js', import.meta.url), {
      workerData: { program: program.href, data },
      ...(isEvaluated ? { execArgv: [] } : {}),
    })
    worker.unref()
    let reason: Error | null = null
    worker.on('message', (message: unknown) => events.received(message))
    // It ends after that: an exit follows in any case.
    worker.on('error', (error: unknown) => {
      reason = error instanceof Error ? error : new Error(`it threw ${String(error)}`)
    })
    const gone = new Promise<void>((resolve) => {
      worker.on('exit', (code) => {
        events.ended(reason ?? new Error(`it ended with exit code ${code}`))
        resolve()
      })
    })
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      terminate: async () => {
        await worker.terminate()
        await gone
      },
    }
  }
}
