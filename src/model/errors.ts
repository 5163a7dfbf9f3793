/**
 * What goes wrong, in two families.
 *
 * `BrokerError` is what AMQP has a word and a number for; a server sends it as channel.close or connection.close and an
 * embedded caller gets the same object. `LeveretError` is everything else a user can meet: a folder in use, a disk that
 * failed, a message that was not processed. Both carry a stable `code`, the name of the thing and what to do next.
 */

export type ReplyCode =
  | 'CONTENT_TOO_LARGE'
  | 'NO_ROUTE'
  | 'NO_CONSUMERS'
  | 'ACCESS_REFUSED'
  | 'NOT_FOUND'
  | 'RESOURCE_LOCKED'
  | 'PRECONDITION_FAILED'
  | 'CONNECTION_FORCED'
  | 'INVALID_PATH'
  | 'FRAME_ERROR'
  | 'SYNTAX_ERROR'
  | 'COMMAND_INVALID'
  | 'CHANNEL_ERROR'
  | 'UNEXPECTED_FRAME'
  | 'RESOURCE_ERROR'
  | 'NOT_ALLOWED'
  | 'NOT_IMPLEMENTED'
  | 'INTERNAL_ERROR'

export interface ReplyCodeRow {
  readonly number: number
  readonly scope: 'channel' | 'connection'
}

/** AMQP 0-9-1 reply codes: the number on the wire, and whether it ends the channel or the connection. */
export const replyCodes: Readonly<Record<ReplyCode, ReplyCodeRow>> = {
  CONTENT_TOO_LARGE: { number: 311, scope: 'channel' },
  NO_ROUTE: { number: 312, scope: 'channel' },
  NO_CONSUMERS: { number: 313, scope: 'channel' },
  ACCESS_REFUSED: { number: 403, scope: 'channel' },
  NOT_FOUND: { number: 404, scope: 'channel' },
  RESOURCE_LOCKED: { number: 405, scope: 'channel' },
  PRECONDITION_FAILED: { number: 406, scope: 'channel' },
  CONNECTION_FORCED: { number: 320, scope: 'connection' },
  INVALID_PATH: { number: 402, scope: 'connection' },
  FRAME_ERROR: { number: 501, scope: 'connection' },
  SYNTAX_ERROR: { number: 502, scope: 'connection' },
  COMMAND_INVALID: { number: 503, scope: 'connection' },
  CHANNEL_ERROR: { number: 504, scope: 'connection' },
  UNEXPECTED_FRAME: { number: 505, scope: 'connection' },
  RESOURCE_ERROR: { number: 506, scope: 'connection' },
  NOT_ALLOWED: { number: 530, scope: 'connection' },
  NOT_IMPLEMENTED: { number: 540, scope: 'connection' },
  INTERNAL_ERROR: { number: 541, scope: 'connection' },
}

export class BrokerError extends Error {
  override readonly name: string = 'BrokerError'
  readonly code: ReplyCode
  /** The explanation alone; `message` has the code's name before it, as RabbitMQ's reply-text does. */
  readonly text: string

  constructor(code: ReplyCode, text: string) {
    super(`${code} - ${text}`)
    this.code = code
    this.text = text
  }

  get number(): number {
    return replyCodes[this.code].number
  }

  /** A channel error closes the channel it happened on, a connection error the whole connection. */
  get scope(): 'channel' | 'connection' {
    return replyCodes[this.code].scope
  }
}

export type LeveretErrorCode =
  | 'E_BAD_URL'
  | 'E_BAD_OPTION'
  | 'E_BAD_DATA'
  | 'E_BAD_DEFINITIONS'
  | 'E_CALL_FAILED'
  | 'E_CANCELLED'
  | 'E_CLOSED'
  | 'E_CONNECTION_LOST'
  | 'E_CONNECT_FAILED'
  | 'E_EVENTS_DROPPED'
  | 'E_EXPIRED'
  | 'E_FOLDER_IN_USE'
  | 'E_LEASE_LOST'
  | 'E_NETWORK_FOLDER'
  | 'E_STORAGE_FAILED'
  | 'E_STORAGE_CORRUPT'
  | 'E_FORMAT_UNSUPPORTED'
  | 'E_NOT_PROCESSED'
  | 'E_OUTCOME_UNKNOWN'
  | 'E_QUEUE_DIFFERS'
  | 'E_REFUSED'
  | 'E_THREAD_LOST'
  | 'E_TIMEOUT'
  | 'E_UNROUTABLE'
  | 'E_UNSUPPORTED'
  | 'E_WOULD_DEADLOCK'

export class LeveretError extends Error {
  override readonly name: string = 'LeveretError'
  readonly code: LeveretErrorCode

  /** `text` names the thing, says what is wrong and what to do next, as one sentence or two. */
  constructor(code: LeveretErrorCode, text: string, cause?: unknown) {
    super(`${code}: ${text}`, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
