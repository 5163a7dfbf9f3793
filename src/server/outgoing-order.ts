/**
 * In what order a channel speaks. A large body goes out in pieces, and all else that is to be said waits behind it:
 *
 *     say ──▶ body ─ piece ─ piece ─ … ─ end ──▶ say, say, the next body ─ …
 *                └─ putOff: say, say, the next body
 *
 * The bodies among that are held until their turn comes, for their messages may be settled meanwhile.
 */
import type { ContentHead } from '../amqp/frame-writer.ts'
import { assert } from '../lib/assert.ts'
import type { Channel } from '../model/channel.ts'
import type { Message } from '../model/message.ts'
import type { ChannelHost } from './channel-host.ts'
import { OutgoingBody, type OutgoingBodyEvents } from './outgoing-body.ts'

/** What is to be said later, and about what it takes in memory until then. */
interface Later {
  readonly say: () => void
  readonly bytes: number
}

/** Above this, what the client asks waits until it has read. Bodies in files do not count. */
const laterBytesMax = 1_048_576
const laterItemBytes = 256

export class OutgoingOrder implements OutgoingBodyEvents {
  /** The large body that is being written; null: whatever is to be said is said at once. */
  body: OutgoingBody | null = null
  private readonly number: number
  private readonly host: ChannelHost
  private readonly failed: () => void
  private channel: Channel | null = null
  private later: Later[] = []
  private laterBytes = 0
  /** What the connection was told last. */
  private isBehind = false
  /** Lets go of what `retain` holds. */
  private readonly holds: Set<() => void> = new Set()
  private isOutputFull = false

  /** `failed` is called when a body cannot be read to its end. */
  constructor(number: number, host: ChannelHost, failed: () => void) {
    this.number = number
    this.host = host
    this.failed = failed
  }

  opened(channel: Channel): void {
    this.channel = channel
  }

  /** Nothing is said any more. */
  end(): void {
    this.channel = null
    this.body?.stop()
    this.body = null
    this.later = []
    this.laterBytes = 0
    this.seeBehind()
    for (const letGo of this.holds) letGo()
    this.holds.clear()
  }

  /** The client has enough to read for now. */
  pause(): void {
    this.isOutputFull = true
    this.body?.hold()
    this.channel?.pauseDeliveries()
  }

  resume(): void {
    this.isOutputFull = false
    if (this.body === null) this.channel?.resumeDeliveries()
    else this.body.resume()
  }

  /** A message whose head is its own; its body may be in a file. */
  send(head: ContentHead, message: Message): void {
    try {
      if (!message.refers) {
        return this.inTurn(() => this.host.frames.content(this.number, head, message), message.contentBytes)
      }
      if (this.body === null) return this.sendBody(head, message)
      // Held at once: its message may be settled before its turn comes.
      const letGo = this.retain(message)
      this.putOff(() => {
        this.sendBody(head, message)
        letGo()
      })
    } catch (error) {
      this.host.crashed(error)
    }
  }

  /** Says it now, or when the body that is being written has ended. */
  inTurn(say: () => void, bytes = 0): void {
    if (this.body === null) say()
    else this.putOff(say, bytes)
  }

  /** Says it when the body that is being written has ended. */
  putOff(say: () => void, bytes = 0): void {
    this.later.push({ say, bytes: bytes + laterItemBytes })
    this.laterBytes += bytes + laterItemBytes
    this.seeBehind()
  }

  /** Keeps the body until what is returned is called, or the channel ends. */
  retain(message: Message): () => void {
    const { bodies } = this.host
    bodies?.retain(message)
    const letGo = (): void => {
      this.holds.delete(letGo)
      bodies?.release(message)
    }
    this.holds.add(letGo)
    return letGo
  }

  bodyEnded(): void {
    this.body = null
    const { later } = this
    let said = 0
    for (; this.body === null && this.later === later && said < later.length; said++) {
      const { say, bytes } = later[said] as Later
      this.laterBytes -= bytes
      say()
    }
    // Unless the channel has ended with it.
    if (this.later === later) {
      later.splice(0, said)
      this.seeBehind()
    }
    if (this.body === null && !this.isOutputFull) this.channel?.resumeDeliveries()
    this.host.flush()
  }

  bodyFailed(_error: unknown): void {
    this.failed()
  }

  flush(): void {
    this.host.flush()
  }

  private sendBody(head: ContentHead, message: Message): void {
    assert(this.host.bodies !== null, 'a body in a file comes from where bodies are')
    const source = this.host.bodies.open(message)
    this.channel?.pauseDeliveries()
    this.host.frames.contentStart(this.number, head, message)
    this.body = new OutgoingBody(source, this.number, this.host.frames, this.isOutputFull, this)
  }

  private seeBehind(): void {
    const isBehind = this.laterBytes > laterBytesMax
    if (isBehind === this.isBehind) return
    this.isBehind = isBehind
    this.host.load.holdBehind(isBehind)
  }
}
