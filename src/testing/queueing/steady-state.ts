/** A queue on which one server works, all the time and at nothing else: what tests of the model change something of. */
import type { QueueState } from '../../flow/queue-state.ts'

export const steadyState: QueueState = {
  servers: 1,
  isGuessed: false,
  serversChanged: false,
  isPaused: false,
  isKeyed: false,
  isSplit: false,
  waiting: 0,
  lengthMax: null,
}
