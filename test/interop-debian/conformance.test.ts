// The table of test/support/conformance.ts against Debian's RabbitMQ: it says that our expectations are right.
import { afterAll, beforeAll, describe } from 'vitest'
import { amqplibClient } from '../support/clients/amqplib.ts'
import { cloudamqpClient } from '../support/clients/cloudamqp.ts'
import { rabbitmqClient } from '../support/clients/rabbitmq-client.ts'
import { describeConformance } from '../support/conformance.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

let broker: Awaited<ReturnType<typeof startRabbitmq>>

beforeAll(async () => {
  broker = await startRabbitmq()
})

afterAll(async () => {
  await broker?.stop()
})

describe.each([amqplibClient, rabbitmqClient, cloudamqpClient])('$name and RabbitMQ', (client) => {
  describeConformance(client, () => ({ url: broker.url, isRabbitmq310: true }))
})
