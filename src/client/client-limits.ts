/** The client's bounds, with unit and reason; the broker's own stand in model/limits.ts. */
import { assert } from '../lib/assert.ts'

export const clientLimits = {
  /** Sends that wait for their confirm; what comes beyond waits in the client. */
  highWaterDefault: 10_000,
  /** Bytes of those sends, so that a thousand large messages are not all in memory at once. */
  highWaterBytes: 33_554_432,
  /** Receipts whose outcome is open: a worker that never answers must not become a leak in the sender. */
  receiptsMax: 100_000,
  /** Answers in the inbox of a named sender that nobody has taken: the oldest go. */
  inboxAnswersMax: 10_000,
  /** Dead letters that one commit takes back, and letters of other queues that are in the way and held meanwhile. */
  redriveAtOnce: 100,
  redriveOthersMax: 10_000,
  /** Messages that one question brings when somebody looks at a queue. */
  peekAtOnce: 100,
  peekDefault: 100,
  /** Names of events whose composer, and whose listeners, are remembered. */
  eventsRememberedMax: 1_000,
  /** Live events that wait for a loop which is slower than they come: the oldest go. */
  eventBufferDefault: 10_000,
  /** Bytes of them, so that a loop which is slow with large events does not take all memory. */
  eventBufferBytes: 268_435_456,
  /** How long a call waits for its answer unless it says so. */
  callTimeoutMs: 30_000,
  /** Calls that one answerer works on at the same time unless it says so. */
  callConcurrencyDefault: 10,
  concurrencyMax: 10_000,
  /**
   * Handlers that 'auto' lets run where nobody said how many: four such workers stay below the thousand and some files and
   * sockets that systems let a process open, and what is behind handlers seldom serves one process with more.
   */
  autoConcurrencyMax: 256,
  /** Threads of one worker: each has a heap of its own. */
  threadsMax: 256,
  /** A thread that has ended is replaced at once; one that ends again and again, after a pause that doubles up to this. */
  threadPauseMinMs: 100,
  threadPauseMaxMs: 30_000,
  /** How long a handler that has lost its lease may take to notice, before its thread is stopped; half its lease if that is less. */
  threadGraceMs: 1_000,
  prefetchMax: 65_535,
  prefetchDefault: 100,
  /** Messages of one batch: they are acknowledged in one commit, which is one frame of the log. */
  batchSizeMax: 10_000,
  batchSizeDefault: 100,
  batchWaitMs: 100,
  attemptsMax: 1_000,
  attemptsDefault: 3,
  backoffMinMs: 1_000,
  backoffMaxMs: 300_000,
  /** How long close() waits for handlers and confirms before it gives their messages back. */
  closeTimeoutMs: 30_000,
  /** One commit of a worker: more handlers wait for the next, so that a transaction stays far below its bound. */
  burstTasksMax: 1_000,
  burstBytesMax: 8_388_608,
  /** Refused commits whose message has not come again: another worker may have it for good, so the oldest go. */
  refusalsMax: 1_000,
  /** A worker whose channel fails so often in a row, without one commit in between, gives up. */
  restartsMax: 10,
  /** Parents above a child: who goes through a family from one to the next needs some stack for each. */
  generationsMax: 100,
  /**
   * Properties of a message, headers included. AMQP has them in one frame, of 131,072 bytes where nothing else is agreed, and a larger
   * one ends the connection; the rest is for what is added on the way, such as why attempts failed.
   */
  propertiesBytesMax: 98_304,
  /** Error text in a header; all headers together must fit into one frame. */
  errorTextMax: 2_000,
  /** Of a frame that is read: the headers of a message come in one. */
  deliveryHeaderBytesMax: 4_194_304,
  statsIntervalMs: 1_000,
  statsWindowMs: 10_000,
  /** What waits, processing times and the model are taken from; and for how many queues at once, so that it stays a few MiB. */
  flowWindowMs: 60_000,
  flowQueuesMax: 1_000,
  /** Nobody asked for figures for so long: stop sampling until somebody does. */
  statsIdleMs: 60_000,
} as const

assert(clientLimits.statsIntervalMs < clientLimits.statsWindowMs, 'a window has several samples')
assert(clientLimits.statsIntervalMs < clientLimits.flowWindowMs, 'so has that of the flow')
assert(clientLimits.statsWindowMs < clientLimits.statsIdleMs, 'sampling goes on for at least a window')
