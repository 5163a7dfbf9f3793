// Where Leveret differs from Debian's RabbitMQ 3.10.8 and is meant to, each with its reason. One that no longer occurs is a
// failure, so this list is never longer than the truth.
import type { Difference, Rewrite } from './compare.ts'

/** Wherever they occur. */
export const rewrites: readonly Rewrite[] = []

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

export const differences: readonly Difference[] = [...connection, ...tuneRefusals, ...fatal, ...headers]
