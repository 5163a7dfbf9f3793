/** A queue in which a parent waits for the answers of its children: see broker/gathering.ts. */

/** How many answers the first message of the queue waits for. */
export const gatherArgument = 'x-leveret-gather'

/** The queue it goes to when they are there. */
export const gatherToArgument = 'x-leveret-gather-to'

/** Header of a parent that has gone on: the queue in which the answers are. */
export const gatheredHeader = 'x-leveret-gathered'
