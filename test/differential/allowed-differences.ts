// Where Leveret differs from Debian's RabbitMQ 3.10.8 and is meant to, each with its reason. One that no longer occurs is a
// failure, so this list is never longer than the truth.
import { methods } from '../../src/amqp/methods.ts'
import type { Difference } from './compare.ts'
import { refusals } from './conversations/access.ts'

const closes = (text: string, method: string): string =>
  `< a0 connection.close replyCode=${text.slice(0, 3)} replyText="${text.slice(4)}" ${method}`
const none = 'classId=0 methodId=0'

/** Where RabbitMQ's process for the connection dies without a word, or with no more than that. */
const crashes = 'RabbitMQ does not expect it and its connection process fails; Leveret says what is wrong, and closes'
const sizes = 'RabbitMQ before 4.0 does not look at the size; 4.2 answers 501'

const tuneRefusals: readonly Difference[] = [
  ['{"frameMax":4095}', 'frame_max = 4095 is lower than the minimum allowed value (4096)'],
  ['{"frameMax":1}', 'frame_max = 1 is lower than the minimum allowed value (4096)'],
  ['{"frameMax":0}', 'frame_max = 0 (no limit) is higher than the maximum allowed value (131072)'],
  ['{"frameMax":131073}', 'frame_max = 131073 is higher than the maximum allowed value (131072)'],
  ['{"channelMax":0}', 'channel_max = 0 (no limit) is higher than the maximum allowed value (2047)'],
  ['{"channelMax":2048}', 'channel_max = 2048 is higher than the maximum allowed value (2047)'],
  ['{"frameMax":0,"channelMax":0}', 'frame_max = 0 (no limit) is higher than the maximum allowed value (131072)'],
].map(([values, text]) => ({
  conversation: `tune-ok with ${values}`,
  reason: 'RabbitMQ 3.10 logs why and drops the connection; 4.2 tells the client',
  rabbitmq: [],
  leveret: [closes(`530 NOT_ALLOWED - negotiated ${text}`, 'classId=10 methodId=30')],
}))

const fatal: readonly Difference[] = [
  [
    'a method nobody knows',
    '503 COMMAND_INVALID - unknown method: class 60, method 250',
    'classId=60 methodId=250',
    crashes,
  ],
  [
    'a class nobody knows',
    '503 COMMAND_INVALID - unknown method: class 200, method 10',
    'classId=200 methodId=10',
    crashes,
  ],
  [
    'a method nobody knows on channel 0',
    '503 COMMAND_INVALID - unknown method: class 10, method 99',
    'classId=10 methodId=99',
    crashes,
  ],
  [
    'a field type nobody knows in the arguments',
    "502 SYNTAX_ERROR - unknown field type 'Q' in a field table",
    'classId=50 methodId=10',
    crashes,
  ],
  [
    'a routing key that is not UTF-8',
    '501 FRAME_ERROR - Malformed UTF-8 in shortstr',
    'classId=60 methodId=40',
    'RabbitMQ takes any octets for a routing key; for Leveret a short string is text, as the specification says',
  ],
  [
    'a body larger than announced',
    '501 FRAME_ERROR - content body frame exceeds remaining content size',
    'classId=60 methodId=40',
    sizes,
  ],
  [
    'a body-size beyond 512 MiB',
    '501 FRAME_ERROR - content size 536870913 is larger than 536870912',
    'classId=60 methodId=40',
    sizes,
  ],
  [
    'a body-size of 2^63',
    '501 FRAME_ERROR - content size 9223372036854776000 is larger than 536870912',
    'classId=60 methodId=40',
    sizes,
  ],
].map(([what, text, method, reason]) => ({
  conversation: `${what}: what it costs`,
  reason: reason as string,
  rabbitmq: [],
  leveret: [closes(text as string, method as string), '< a ended'],
}))

const properties = 'the content header does not hold the properties its flags announce'
const headers: readonly Difference[] = [
  ['a header without flags', 'a content header of 12 octets'],
  ['a header that lacks a property its flags announce', properties],
  ['a header with octets too many', properties],
  ['a header with a second word of flags', properties],
].map(([what, text]) => ({
  conversation: `${what}: what it costs`,
  reason: crashes,
  rabbitmq: [closes('541 INTERNAL_ERROR', none)],
  leveret: [closes(`502 SYNTAX_ERROR - ${text}`, 'classId=60 methodId=40')],
}))

const polite = 'a client may close at any time; RabbitMQ only understands that once the connection is open'

const connection: readonly Difference[] = [
  {
    conversation: 'connection.start tells the version, the mechanisms and what the broker can do',
    reason: 'Leveret says who it is, and which line of RabbitMQ it behaves like',
    rabbitmq: [
      '    copyright=S:"Copyright (c) 2007-2022 VMware, Inc. or its affiliates."',
      '    information=S:"Licensed under the MPL 2.0. Website: https://rabbitmq.com"',
      '    platform=S:"Erlang/OTP 25.2.3"',
      '    product=S:"RabbitMQ"',
      '    version=S:"3.10.8"',
    ],
    leveret: [
      '    copyright=S:"Copyright the Leveret authors"',
      '    information=S:"Licensed under the Apache License 2.0"',
      '    leveret_message_bytes_max=l:16777216',
      '    leveret_version=S:"<version>"',
      '    platform=S:"Node.js"',
      '    product=S:"Leveret"',
      '    version=S:"4.2.0"',
    ],
  },
  {
    conversation: 'AMQPLAIN with a number for a password',
    reason: 'RabbitMQ compares the number with the password; for Leveret the response is malformed',
    rabbitmq: [
      closes(
        '403 ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.',
        none,
      ),
    ],
    leveret: [],
  },
  ...['close before start-ok', 'close before tune-ok'].map((what) => ({
    conversation: `${what}: what the client sees`,
    reason: polite,
    rabbitmq: [],
    leveret: ['< a0 connection.close-ok'],
  })),
  {
    conversation: 'close before open: what the client sees',
    reason: polite,
    rabbitmq: [closes('504 CHANNEL_ERROR - unexpected method in connection state opening', 'classId=10 methodId=50')],
    leveret: ['< a0 connection.close-ok'],
  },
  {
    conversation: 'a method nobody knows before open: what the client sees',
    reason: crashes,
    rabbitmq: [],
    leveret: [closes('503 COMMAND_INVALID - unknown method: class 10, method 99', 'classId=10 methodId=99')],
  },
  {
    conversation: 'a name that is not UTF-8: what it costs',
    reason: 'Leveret names the method',
    rabbitmq: [closes('501 FRAME_ERROR - Malformed UTF-8 in shortstr', none)],
    leveret: [closes('501 FRAME_ERROR - Malformed UTF-8 in shortstr', 'classId=50 methodId=10')],
  },
]

const exchangeTypes: readonly Difference[] = [
  ['exchange declared of an unknown type', "unknown exchange type 'x-none-such'"],
  ['exchange declared of no type', "invalid exchange type ''"],
  ['exchange declared of a type in capitals', "unknown exchange type 'DIRECT'"],
  ['exchange.declare {"exchange":"","kind":"nonsense"}', "unknown exchange type 'nonsense'"],
].map(([conversation, text]) => ({
  conversation: conversation as string,
  reason: 'RabbitMQ before 4.0 closes the connection for an unknown exchange type; 4.2 closes the channel',
  rabbitmq: [closes(`503 COMMAND_INVALID - ${text}`, 'classId=40 methodId=10'), '< a ended'],
  leveret: [
    `< a1 channel.close replyCode=406 replyText="PRECONDITION_FAILED - ${text?.replace('invalid', 'unknown')}" classId=40 methodId=10`,
  ],
}))

const deliveryModes: readonly Difference[] = [0, 255].map((mode) => ({
  conversation: `publish with delivery-mode ${mode}`,
  reason: 'RabbitMQ 3.10 knows 1 and 2 only; since 4.0 everything but 2 is transient',
  rabbitmq: [
    `< a1 channel.close replyCode=406 replyText="PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,${mode}}" classId=60 methodId=40`,
  ],
  leveret: [
    '> a1 basic.get queue="q" noAck=true',
    `< a1 basic.get-ok deliveryTag=1 redelivered=false exchange="" routingKey="q" messageCount=0 deliveryMode=${mode} body="a"`,
  ],
}))

const integerIsNoFloat = 'RabbitMQ before 4.0 compares numbers of all types; since then an integer is no float'
const others: readonly Difference[] = [
  {
    conversation: 'headers exchange: an integer is no float',
    reason: integerIsNoFloat,
    rabbitmq: [],
    leveret: [
      '< a1 basic.return replyCode=312 replyText="NO_ROUTE" exchange="x" routingKey="" headers={a=d:1} body="a"',
    ],
  },
  {
    conversation: 'headers exchange: an integer is no float',
    reason: integerIsNoFloat,
    rabbitmq: ['< a1 queue.purge-ok messageCount=1'],
    leveret: ['< a1 queue.purge-ok messageCount=0'],
  },
  {
    conversation: 'x-max-length 0 still hands over to a consumer that waits',
    reason: 'what comes back is offered to consumers before the limit is looked at; RabbitMQ drops it first',
    rabbitmq: [],
    leveret: [
      '< a1 basic.deliver consumerTag="c" deliveryTag=2 redelivered=true exchange="" routingKey="q" body="got"',
    ],
  },
  {
    conversation: 'a message larger than allowed is read and refused, and the connection goes on',
    reason: 'the default was 128 MiB before 4.0, and is 16 MiB since',
    rabbitmq: [tooLarge(134_217_728)],
    leveret: [tooLarge(16_777_216)],
  },
  {
    conversation: 'direct reply-to: a request and its answer',
    reason: 'since 4.2 an answer that is delivered counts as routed',
    rabbitmq: [
      '< b1 basic.return replyCode=312 replyText="NO_ROUTE" exchange="" routingKey="<reply address>" body="answer"',
    ],
    leveret: [],
  },
  {
    conversation: 'cancel-ok from the client means nothing',
    reason: 'the specification has clients answer basic.cancel, and some do; RabbitMQ does not know the answer',
    rabbitmq: [closes('503 COMMAND_INVALID - unimplemented method', 'classId=60 methodId=31'), '< a ended'],
    leveret: [],
  },
  {
    conversation: 'qos: each consumer of the channel has its own count, with the limit of when it began',
    reason: 'which of several consumers is the first that get credit by one acknowledgement is not promised',
    rabbitmq: [
      '< a1 basic.deliver consumerTag="one" deliveryTag=5 redelivered=false exchange="" routingKey="q" body="5"',
    ],
    leveret: [
      '< a1 basic.deliver consumerTag="two" deliveryTag=5 redelivered=false exchange="" routingKey="q" body="5"',
    ],
  },
]

function tooLarge(max: number): string {
  const text = `PRECONDITION_FAILED - message size 134217729 is larger than configured max size ${max}`
  return `< a1 channel.close replyCode=406 replyText="${text}" classId=60 methodId=40`
}

const rights: readonly Difference[] = refusals.map(({ name, method, right, thing }) => {
  const line = (access: string): string =>
    `< b1 channel.close replyCode=403 replyText="ACCESS_REFUSED - ${access} to ${thing} refused for user 'limited'" ` +
    `classId=${methods[method].classId} methodId=${methods[method].methodId}`
  return {
    conversation: name,
    reason: 'RabbitMQ before 4.0 does not say which right is missing',
    rabbitmq: [line('access')],
    leveret: [line(`${right} access`)],
  }
})

export const differences: readonly Difference[] = [
  ...rights,
  ...connection,
  ...tuneRefusals,
  ...fatal,
  ...headers,
  ...exchangeTypes,
  ...deliveryModes,
  ...others,
]
