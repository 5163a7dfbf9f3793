// What is written is acknowledged, what is not written is not.
import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { MessageIterator, ReceivedMessage } from '../index.ts'
import { NodeClock } from '../platform/node-clock.ts'
import { Printer } from './printer.ts'

type Raw = ReceivedMessage<Buffer>

/** Messages that come when the test says so, and know what was acknowledged. */
class Source {
  readonly acked: string[] = []
  isClosed = false
  private readonly ready: Raw[] = []
  private readonly waiting: ((result: IteratorResult<Raw, undefined>) => void)[] = []

  give(...bodies: string[]): void {
    for (const body of bodies) this.ready.push(this.message(body))
    this.hand()
  }

  get messages(): MessageIterator<Buffer, unknown> {
    const close = async (): Promise<void> => {
      this.isClosed = true
      this.hand()
    }
    const iterator = {
      next: () =>
        new Promise<IteratorResult<Raw, undefined>>((resolve) => {
          this.waiting.push(resolve)
          this.hand()
        }),
      return: async () => ({ done: true as const, value: undefined }),
      close,
      [Symbol.asyncIterator]: () => iterator,
      [Symbol.asyncDispose]: close,
    }
    return iterator
  }

  private hand(): void {
    while (this.waiting.length > 0) {
      if (this.isClosed) this.waiting.shift()?.({ done: true, value: undefined })
      else if (this.ready.length > 0) this.waiting.shift()?.({ done: false, value: this.ready.shift() as Raw })
      else return
    }
  }

  private message(body: string): Raw {
    const data = Buffer.from(body)
    const nothing = async (): Promise<void> => {}
    return {
      data,
      body: data,
      name: 'jobs',
      id: 'id',
      redelivered: false,
      failure: null,
      schedule: null,
      extend() {},
      progress() {},
      signal: new AbortController().signal,
      headers: { big: 2n ** 60n },
      properties: { contentType: body.startsWith('{') ? 'application/json' : body === 'text' ? 'text/plain' : '' },
      ack: async () => {
        this.acked.push(body)
      },
      nack: nothing,
      reject: nothing,
    }
  }
}

/** An output that finishes a write when it is told to. */
class Output extends Writable {
  readonly chunks: string[] = []
  private readonly finishes: ((error?: Error) => void)[] = []

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    this.chunks.push(chunk.toString())
    this.finishes.push(callback)
  }

  finish(error?: Error): void {
    this.finishes.shift()?.(error)
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1))
}

function print(countMax: number | null = null, json = false) {
  const source = new Source()
  const output = new Output()
  const printer = new Printer(new NodeClock(), source.messages, output, json)
  return { source, output, printer, done: printer.printAll(countMax) }
}

describe('Printer', () => {
  it('writes what came together at once, and acknowledges it when it is written', async () => {
    const { source, output, printer, done } = print()
    source.give('a', 'b')
    await turn()
    expect(output.chunks).toEqual(['a\nb\n'])
    expect(source.acked).toEqual([])
    source.give('c')
    output.finish()
    await turn()
    expect(source.acked).toEqual(['a', 'b'])
    printer.stop()
    await turn()
    expect(source.isClosed).toBe(false)
    output.finish()
    await done
    expect(source.acked).toEqual(['a', 'b', 'c'])
  })

  it('stops after so many, and takes no more', async () => {
    const { source, output, done } = print(2)
    source.give('a', 'b', 'c')
    await turn()
    output.finish()
    await done
    expect(output.chunks).toEqual(['a\nb\n'])
    expect(source.acked).toEqual(['a', 'b'])
  })

  it('acknowledges nothing that the reader of a pipe did not take, and ends without a word', async () => {
    const { source, output, done } = print()
    source.give('a')
    await turn()
    output.finish(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    await done
    expect(source.acked).toEqual([])
    expect(source.isClosed).toBe(true)
  })

  it('says what else went wrong with its output', async () => {
    const { source, output, done } = print()
    source.give('a')
    await turn()
    output.finish(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
    await expect(done).rejects.toThrow('no space')
  })

  it('prints messages as JSON, as far as their content type allows', async () => {
    const { source, output, printer, done } = print(null, true)
    source.give('{"a":1}', 'text', '\0', '{')
    await turn()
    output.finish()
    printer.stop()
    await done
    const lines = output.chunks.join('').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      [{ data: { a: 1 } }, { data: 'text' }, { base64: 'AA==' }, { base64: 'ew==' }].map((content, at) => ({
        id: 'id',
        redelivered: false,
        contentType: at === 1 ? 'text/plain' : at === 2 ? '' : 'application/json',
        headers: { big: String(2n ** 60n) },
        ...content,
      })),
    )
  })
})
