/**
 * The login mechanisms:
 *
 *     PLAIN      NUL user NUL password          (an authorization identity before the first NUL is refused, as in RabbitMQ)
 *     AMQPLAIN   a field table without its length: LOGIN and PASSWORD, as long strings or byte arrays
 *     EXTERNAL   nothing: the certificate says who it is; offered only where there is one
 */
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import type { Credentials } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, readTableBody } from '../model/field-table.ts'

/** What is offered to a client whose certificate names that user; null: it has none. */
export function mechanismsFor(certificateUser: string | null): string {
  return certificateUser === null ? 'PLAIN AMQPLAIN' : 'EXTERNAL PLAIN AMQPLAIN'
}

/** Throws COMMAND_INVALID for a mechanism that was not offered, SYNTAX_ERROR for a response that is none. */
export function readCredentials(mechanism: string, response: Buffer, certificateUser: string | null): Credentials {
  if (mechanism === 'EXTERNAL' && certificateUser !== null) return { user: certificateUser, password: null }
  switch (mechanism) {
    case 'PLAIN':
      return readPlain(response)
    case 'AMQPLAIN':
      return readAmqplain(response)
    default:
      throw new BrokerError('COMMAND_INVALID', `unknown authentication mechanism '${mechanism}'`)
  }
}

function readPlain(response: Buffer): Credentials {
  const userEnd = response.indexOf(0, 1)
  if (response[0] !== 0 || userEnd < 0 || response.indexOf(0, userEnd + 1) >= 0) {
    throw new BrokerError('SYNTAX_ERROR', 'the PLAIN response is not NUL user NUL password')
  }
  return { user: response.toString('utf8', 1, userEnd), password: response.toString('utf8', userEnd + 1) }
}

function readAmqplain(response: Buffer): Credentials {
  try {
    const table = readTableBody(response, new ByteReader(response), response.length)
    return { user: textOf(table, 'LOGIN'), password: textOf(table, 'PASSWORD') }
  } catch (error) {
    if (!(error instanceof ByteReaderError)) throw error
    throw new BrokerError('SYNTAX_ERROR', 'the AMQPLAIN response is not a field table')
  }
}

function textOf(table: FieldTable, key: string): string {
  const field = table.get(key)
  if (field?.tag === 'S') return field.value as string
  if (field?.tag === 'x') return (field.value as Buffer).toString('utf8')
  throw new BrokerError('SYNTAX_ERROR', `the AMQPLAIN response has no string ${key}`)
}
