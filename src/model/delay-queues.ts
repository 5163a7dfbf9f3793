/**
 * An exchange of type x-delayed-message keeps what is not due in a queue of its own. The broker makes it, with an argument
 * that names the exchange; nobody else may give that.
 */
export const delaysForArgument = 'x-leveret-delays-for'

export const delayQueuePrefix = 'amq.delayed.'
