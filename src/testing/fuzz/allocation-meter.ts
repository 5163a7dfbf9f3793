/** Notes the largest buffer that anybody makes while it runs: an announced size is only a claim and must not be believed. */

const makers = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const

export class AllocationMeter {
  largestBytes = 0
  private readonly originals = makers.map((name) => Buffer[name])

  start(): void {
    for (const [at, name] of makers.entries()) {
      const original = this.originals[at] as (size: number, ...more: never[]) => Buffer<ArrayBuffer>
      const noting = (size: number, ...more: never[]): Buffer<ArrayBuffer> => {
        if (size > this.largestBytes) this.largestBytes = size
        return original(size, ...more)
      }
      Object.defineProperty(Buffer, name, { value: noting, configurable: true, writable: true, enumerable: true })
    }
  }

  stop(): void {
    for (const [at, name] of makers.entries()) {
      const value = this.originals[at]
      Object.defineProperty(Buffer, name, { value, configurable: true, writable: true, enumerable: true })
    }
  }
}
