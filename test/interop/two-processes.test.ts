// The five steps – create, send, receive, process, acknowledge and tell the sender – with sender and worker in two
// processes, one of them a plain AMQP client that knows nothing but reply_to and correlation_id.
import { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { LeveretProcess } from '../support/leveret-process.ts'
import { NodeProgram } from '../support/node-program.ts'

let leveret: LeveretProcess
let model: ChannelModel
let channel: ConfirmChannel

beforeAll(async () => {
  leveret = await LeveretProcess.start()
})

afterAll(async () => {
  await leveret?.dispose()
})

beforeEach(async () => {
  model = await connect(leveret.url)
  channel = await model.createConfirmChannel()
})

afterEach(async () => {
  await model.close()
})

const worker = `
  const bus = await leveret.connect(args.url)
  const queue = await bus.createQueue('resize', { retry: { attempts: 1 } })
  const worker = queue.process(async (message, context) => {
    if (message.data.file === 'hang.png' && args.hangs) {
      say('hanging')
      await new Promise(() => setInterval(() => {}, 1000))
    }
    if (message.data.file === 'bad.png') throw new Error('not an image')
    return { bytes: message.data.file.length, redelivered: message.redelivered }
  })
  await worker.ready()
  say('ready')
`

async function startWorker(options: { hangs?: boolean } = {}): Promise<NodeProgram> {
  const program = new NodeProgram(worker, { url: leveret.url, ...options })
  expect(await program.next()).toBe('ready')
  return program
}

/** A plain sender: a queue for answers, and a promise for each correlation id. */
async function plainSender(): Promise<(body: unknown) => Promise<ConsumeMessage>> {
  const { queue: answers } = await channel.assertQueue('', { exclusive: true })
  const waiting = new Map<string, (answer: ConsumeMessage) => void>()
  await channel.consume(
    answers,
    (answer) => {
      if (answer !== null) waiting.get(String(answer.properties.correlationId))?.(answer)
    },
    { noAck: true },
  )
  let count = 0
  return async (body) => {
    const correlationId = `request ${++count}`
    const answered = new Promise<ConsumeMessage>((resolve) => waiting.set(correlationId, resolve))
    await channel.assertQueue('resize', { durable: true })
    channel.sendToQueue('resize', Buffer.from(JSON.stringify(body)), {
      persistent: true,
      contentType: 'application/json',
      replyTo: answers,
      correlationId,
    })
    await channel.waitForConfirms()
    return answered
  }
}

it('a typed worker answers a plain sender', async () => {
  await using _worker = await startWorker()
  const ask = await plainSender()
  const answer = await ask({ file: 'a.png' })
  expect(JSON.parse(answer.content.toString())).toEqual({ bytes: 5, redelivered: false })
  expect(answer.properties).toMatchObject({
    contentType: 'application/json',
    headers: { 'x-leveret-outcome': 'processed' },
  })
  expect(await channel.checkQueue('resize')).toMatchObject({ messageCount: 0, consumerCount: 1 })
})

it('a typed worker tells a plain sender why it gave up, and keeps the message as a dead letter', async () => {
  await using _worker = await startWorker()
  const ask = await plainSender()
  const answer = await ask({ file: 'bad.png' })
  expect(answer.properties.headers).toMatchObject({
    'x-leveret-outcome': 'dead-lettered',
    'x-leveret-error': expect.stringContaining('not an image'),
  })
  const dead = await channel.get('resize.dead', { noAck: true })
  expect(dead).toMatchObject({
    content: Buffer.from('{"file":"bad.png"}'),
    properties: { headers: { 'x-leveret-queue': 'resize', 'x-leveret-attempts': 1 } },
  })
})

it('a message whose worker is killed is processed by another', async () => {
  const first = await startWorker({ hangs: true })
  const ask = await plainSender()
  const answered = ask({ file: 'hang.png' })
  expect(await first.next()).toBe('hanging')
  await first.kill()
  await using _second = await startWorker()
  const answer = await answered
  expect(JSON.parse(answer.content.toString())).toEqual({ bytes: 8, redelivered: true })
})

const sender = `
  const bus = await leveret.connect(args.url)
  const queue = await bus.createQueue(args.queue)
  const steps = []
  const receipt = await queue.send({ file: 'a.png' }, {
    receipt: true,
    onProcessed(error, result) { steps.push(error?.code ?? result) },
  })
  steps.push('stored')
  say('stored')
  steps.push(await receipt.processed().catch((error) => error.code))
  await bus.close()
  say(steps)
`

async function plainWorker(queue: string, work: (message: ConsumeMessage, answering: Channel) => void): Promise<void> {
  await channel.assertQueue(queue, { durable: true })
  await channel.consume(queue, (message) => message !== null && work(message, channel))
}

it('a plain worker answers a typed sender', async () => {
  await using program = new NodeProgram(sender, { url: leveret.url, queue: 'plain-work' })
  expect(await program.next()).toBe('stored')
  await plainWorker('plain-work', (message, answering) => {
    const { replyTo, correlationId, contentType } = message.properties
    expect([contentType, message.content.toString()]).toEqual(['application/json', '{"file":"a.png"}'])
    answering.sendToQueue(replyTo, Buffer.from('{"bytes":5}'), { correlationId, contentType: 'application/json' })
    answering.ack(message)
  })
  // The callback and the promise tell the same, the former first, and both after 'stored'.
  expect(await program.next()).toEqual(['stored', { bytes: 5 }, { bytes: 5 }])
  expect(await program.end()).toEqual({ code: 0, stderr: '' })
})

it('a plain worker that knows the protocol can say that it failed', async () => {
  await using program = new NodeProgram(sender, { url: leveret.url, queue: 'plain-failure' })
  expect(await program.next()).toBe('stored')
  await plainWorker('plain-failure', (message, answering) => {
    const { replyTo, correlationId } = message.properties
    const headers = { 'x-leveret-outcome': 'failed', 'x-leveret-error': 'no such file' }
    answering.sendToQueue(replyTo, Buffer.alloc(0), { correlationId, headers })
    answering.ack(message)
  })
  expect(await program.next()).toEqual(['stored', 'E_NOT_PROCESSED', 'E_NOT_PROCESSED'])
})

it('a typed sender and a typed worker meet through one process that owns the folder', async () => {
  const owner = `
    const bus = await leveret.connect('file:' + args.folder)
    const queue = await bus.createQueue('resize')
    queue.process(async (message) => ({ bytes: message.data.file.length }))
    say((await bus.serve({ amqp: 0 })).url)
  `
  await using broker = await LeveretProcess.create()
  await using serving = new NodeProgram(owner, { folder: broker.folder })
  const url = await serving.next()
  expect(url).toMatch(/^amqp:\/\/127\.0\.0\.1:\d+$/)
  await using program = new NodeProgram(sender, { url, queue: 'resize' })
  expect(await program.next()).toBe('stored')
  expect(await program.next()).toEqual(['stored', { bytes: 5 }, { bytes: 5 }])
})
