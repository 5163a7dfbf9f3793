/** Threads of this process: each runs a program of its own, and shares nothing but the messages that are posted. */

/** One end of the line between a thread and whoever started it. Messages are copies, as structuredClone makes them. */
export interface ThreadPort {
  /** Buffers in `transfer` move to the other side and are empty here afterwards. Throws for what cannot be copied. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void
  /** What came before is heard too. To be called once. */
  listen(received: (message: unknown) => void): void
}

/** What a module of a program exports as `runInThread`: called once, in the new thread. Resolves when it has begun. */
export type ThreadProgram = (port: ThreadPort, data: unknown) => Promise<void>

export interface ThreadEvents {
  received(message: unknown): void
  /** It is gone, whatever the reason: what it threw, its exit code, or that it was terminated. Called once. */
  ended(reason: Error): void
}

export interface Thread {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void
  /** Stops it wherever it is. Resolves when it is gone; `ended` has been called then. */
  terminate(): Promise<void>
}

export interface Threads {
  /** How many can run at the same time on this machine. */
  readonly parallelism: number
  /** Starts the program of that module. Threads do not keep the process alive. */
  start(program: URL, data: unknown, events: ThreadEvents): Thread
}
