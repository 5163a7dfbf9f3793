/**
 * What AMQP has no word for is asked in messages: published to this exchange with the command as routing key, answered to
 * `reply_to` in JSON. docs/protocol.md has it in full. The broker answers; whoever speaks plain AMQP can ask.
 */

/** Every virtual host has it. No other exchange's name may begin with its prefix. */
export const controlExchange = 'leveret.control'
export const controlPrefix = 'leveret.'

/** Routing key of a receiver's wish to get a delivery again; see broker/retry-request.ts. It is not answered. */
export const retryKey = 'retry'

/** Routing key of the request, and the `type` of the kinds of answer. */
export const queuesKey = 'queues'
export const queuesAnswer = 'leveret.queues-ok'
export const errorAnswer = 'leveret.error'
/** Answers to what administrators ask, see admin-command.ts. */
export const okAnswer = 'leveret.ok'
export const definitionsAnswer = 'leveret.definitions'
/** Answer to a look at a queue. */
export const messagesAnswer = 'leveret.messages'
/** Answer that says how many messages were removed. */
export const cancelledAnswer = 'leveret.cancelled'
/** Answer that tells of schedules. */
export const schedulesAnswer = 'leveret.schedules'
