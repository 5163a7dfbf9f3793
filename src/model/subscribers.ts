/** A durable subscriber of events is a queue, whose name and one argument say so. */

export const subscriberPrefix = 'leveret.subscriber.'

/** What it listens to; compared when the queue is declared again, so that a name stands for one pattern. */
export const subscriberPatternArgument = 'x-leveret-pattern'
