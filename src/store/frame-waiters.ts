/** Who waits until a frame of the log is durable. Frames become so in their order, and so are they asked for. */
interface Waiter {
  readonly lsn: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class FrameWaiters {
  private readonly waiting: Waiter[] = []

  /** Resolves when the frame is durable; rejects if it never will be. */
  add(lsn: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ lsn, resolve, reject })
    })
  }

  durable(lsn: number): void {
    while (this.waiting.length > 0 && (this.waiting[0] as Waiter).lsn <= lsn) this.waiting.shift()?.resolve()
  }

  /** Nothing more becomes durable. */
  fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error)
  }
}
