/** What the model knows of a queue beside its flow. */

export interface QueueState {
  /** How many messages all consumers together work on at once; null: nobody knows. */
  readonly servers: number | null
  /** That number is taken from prefetches. */
  readonly isGuessed: boolean
  /** It was not the same throughout the window. */
  readonly serversChanged: boolean
  readonly isPaused: boolean
  readonly isKeyed: boolean
  /** There is more than one line: what is handed ahead to one of several consumers waits for that one. */
  readonly isSplit: boolean
  /** Messages that wait now. */
  readonly waiting: number
  /** Messages that it may hold; null: any number. */
  readonly lengthMax: number | null
}
