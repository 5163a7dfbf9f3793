/** Why messages leave their queues otherwise than by a consumer that is done with them. */

/** Those that a dead-letter exchange is told, in RabbitMQ's words. */
export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'

/**
 * Beside these: a consumer is done with it that tells no sender; somebody took it back; a later one took its place; who had it is gone,
 * and nobody else may try it.
 */
export type DepartureReason = DeathReason | 'acknowledged' | 'cancelled' | 'replaced' | 'abandoned'

/** Whether a dead-letter exchange gets what leaves for that reason. */
export function isDeath(reason: DepartureReason): reason is DeathReason {
  return reason !== 'acknowledged' && reason !== 'cancelled' && reason !== 'replaced' && reason !== 'abandoned'
}
