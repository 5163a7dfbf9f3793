/** What an AMQP server proposes and enforces; every value has a default from model/limits. */
import type { FieldTable, PlainValue } from '../model/field-table.ts'
import { toTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { messageBytesMaxProperty } from '../model/server-properties.ts'
import type { CertificateUser } from './certificate-user.ts'

export interface AmqpServerOptions {
  /** Leveret's own version, shown to clients as `leveret_version`. */
  readonly version?: string
  /** What the server runs on, shown to clients as `platform`. */
  readonly platformName?: string
  readonly heartbeatSeconds?: number
  readonly frameBytesMax?: number
  readonly channelsMax?: number
  readonly messageBytesMax?: number
  readonly connectionsMax?: number
  /** Connections of one address that have not logged in yet. */
  readonly strangersPerAddressMax?: number
  readonly handshakeMs?: number
  /** What of a certificate is the name of its user. Default: the common name. */
  readonly certificateUser?: CertificateUser
  /** Hears of errors that are our own mistakes; the connection they happened on is closed with INTERNAL_ERROR. */
  readonly onError?: (error: unknown) => void
}

export interface Settings {
  readonly heartbeatSeconds: number
  readonly frameBytesMax: number
  readonly channelsMax: number
  readonly messageBytesMax: number
  readonly connectionsMax: number
  readonly strangersPerAddressMax: number
  readonly handshakeMs: number
  readonly certificateUser: CertificateUser
}

export function settingsOf(options: AmqpServerOptions): Settings {
  return {
    heartbeatSeconds: options.heartbeatSeconds ?? limits.heartbeatSeconds,
    frameBytesMax: options.frameBytesMax ?? limits.frameBytesMax,
    channelsMax: options.channelsMax ?? limits.channelsMax,
    messageBytesMax: options.messageBytesMax ?? limits.messageBytesMax,
    connectionsMax: options.connectionsMax ?? limits.connectionsMax,
    strangersPerAddressMax: options.strangersPerAddressMax ?? limits.strangersPerAddressMax,
    handshakeMs: options.handshakeMs ?? limits.handshakeMs,
    certificateUser: options.certificateUser ?? 'cn',
  }
}

// The line of RabbitMQ whose behaviour we have: clients look at `version` to know what they may expect.
const compatibleVersion = '4.2.0'

const capabilities = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  consumer_priorities: true,
  authentication_failure_close: true,
  per_consumer_qos: true,
  direct_reply_to: true,
}

/** What connection.start tells a client. */
export function serverProperties(hostName: string, options: AmqpServerOptions): FieldTable {
  const properties: { [key: string]: PlainValue } = {
    capabilities,
    cluster_name: `leveret@${hostName}`,
    copyright: 'Copyright the Leveret authors',
    information: 'Licensed under the Apache License 2.0',
    platform: options.platformName ?? 'Node.js',
    product: 'Leveret',
    version: compatibleVersion,
  }
  if (options.version !== undefined) properties['leveret_version'] = options.version
  // A client that knows it refuses what is larger by itself: the broker's own refusal ends the channel.
  properties[messageBytesMaxProperty] = options.messageBytesMax ?? limits.messageBytesMax
  return toTable(properties)
}
