/** A client that does nothing wrong, beside those that do: all it publishes must be confirmed and come back, in order. */
import { type Method, methodId } from '../../amqp/methods.ts'
import type { Connection, ConnectionEvents } from '../../platform/network.ts'
import { Dice } from './dice.ts'
import { goodHandshake, goodTuning } from './handshake-maker.ts'
import { makeMethod } from './method-maker.ts'
import { frame, headerFrame, methodFrame, short, u16, u32 } from './octets.ts'
import { type ServerWords, StrictReader } from './strict-reader.ts'

const queue = 'the-neighbours-own'

export class Neighbour implements ConnectionEvents, ServerWords {
  wrong: string | null = null
  private published = 0
  private readonly back: number[] = []
  private confirmedUpTo = 0
  private isReady = false
  private isClosing = false
  private isGone = false
  private readonly connection: Connection
  private readonly reader: StrictReader = new StrictReader(this)
  private readonly dice: Dice = new Dice(1)

  constructor(connection: Connection) {
    this.connection = connection
    connection.attach(this)
    const { dice } = this
    const declaration = {
      queue,
      passive: false,
      durable: false,
      exclusive: true,
      autoDelete: false,
      noWait: false,
      arguments: u32(0),
    }
    const consuming = { queue, consumerTag: 'n', noAck: true, exclusive: true, noWait: false, arguments: u32(0) }
    const steps = goodHandshake(dice, goodTuning, true)
    for (const step of steps) if (step.type === 'send') this.write(step.octets)
    this.write(makeMethod(dice, 1, 'channel.open'))
    this.write(makeMethod(dice, 1, 'confirm.select', { noWait: false }))
    this.write(makeMethod(dice, 1, 'queue.declare', declaration))
    this.write(makeMethod(dice, 1, 'basic.consume', consuming))
  }

  publish(): void {
    const body = Buffer.from(`${++this.published}`)
    const args = Buffer.concat([u16(0), short(''), short(queue), Buffer.from([0])])
    this.write(methodFrame(1, methodId('basic.publish'), args))
    this.write(headerFrame(1, BigInt(body.length), u16(0)))
    this.write(frame(3, 1, body))
  }

  leave(): void {
    this.isClosing = true
    this.write(makeMethod(this.dice, 0, 'connection.close', { replyCode: 200, replyText: '', classId: 0, methodId: 0 }))
  }

  /** Null, or what is missing now that there was time for all of it. */
  complaint(): string | null {
    const { wrong, published, back, confirmedUpTo } = this
    if (wrong !== null) return `the neighbour was told ${wrong}`
    if (!this.isReady) return 'the neighbour could not begin'
    if (this.isGone && !this.isClosing) return 'the neighbour lost its connection'
    if (back.length !== published || back.some((number, at) => number !== at + 1)) {
      return `the neighbour published ${published} and got ${back.join(' ')}`
    }
    return confirmedUpTo === published ? null : `of the neighbour's ${published} only ${confirmedUpTo} were confirmed`
  }

  received(chunk: Buffer): void {
    if (this.wrong !== null) return
    try {
      this.reader.push(chunk)
    } catch (error) {
      this.wrong = (error as Error).message
    }
  }

  drained(): void {}

  closed(): void {
    this.isGone = true
  }

  method(_channel: number, { name, args }: Method): void {
    if (name === 'basic.consume-ok') this.isReady = true
    else if (name === 'basic.ack') this.confirmedUpTo = (args as { deliveryTag: number }).deliveryTag
    else if (name.endsWith('.close') || name === 'basic.nack' || name === 'basic.cancel') {
      this.wrong = `${name} ${String((args as { replyText?: string }).replyText ?? '')}`
    }
  }

  content(_channel: number, _method: Method, body: Buffer): void {
    this.back.push(Number(body.toString()))
  }

  private write(octets: Buffer): void {
    if (!this.isGone) this.connection.write(octets, octets.length, null)
  }
}
