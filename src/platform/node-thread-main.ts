/** Where a thread begins: it loads the program it was started for, and hands it the line to who started it. */
import { parentPort, workerData } from 'node:worker_threads'
import type { ThreadPort, ThreadProgram } from './threads.ts'

const { program, data } = workerData as { readonly program: string; readonly data: unknown }
const toParent = parentPort
if (toParent === null) throw new Error('this module is the beginning of a thread, not of a program')

const port: ThreadPort = {
  post: (message, transfer = []) => toParent.postMessage(message, transfer),
  listen: (received) => void toParent.on('message', received),
}
const { runInThread } = (await import(program)) as { readonly runInThread: ThreadProgram }
await runInThread(port, data)
