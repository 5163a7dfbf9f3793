/**
 * Every bound there is, with its unit and the reason for the number. What is not bounded here is bounded by something
 * that is: a queue's length by the disk or the memory alarm, an argument table by the frame it came in.
 */
import { assert } from '../lib/assert.ts'

export const limits = {
  /** A larger body is refused with 406; RabbitMQ 4's default. */
  messageBytesMax: 16_777_216,
  /** No configuration may go beyond it: one message is one record of the log, whose length is a u32. */
  messageBytesCeiling: 134_217_728,
  /** AMQP short strings carry their length in one octet. */
  nameBytesMax: 255,
  /** What we propose in connection.tune; RabbitMQ's values, which clients are tuned for. */
  frameBytesMax: 131_072,
  frameBytesMin: 4_096,
  /** A peer that has not yet tuned may send no larger frame. */
  frameBytesInitial: 8_192,
  channelsMax: 2_047,
  heartbeatSeconds: 60,
  /** From accept until connection.open-ok; then the socket is dropped without a word. */
  handshakeMs: 10_000,
  /** Of it, for TLS. */
  tlsHandshakeMs: 5_000,
  /** Nested tables and arrays in one field table; one frame could nest 21,845 and end the stack. */
  tableDepthMax: 32,
  /** What a peer that has not logged in may have us hold, beside the frame that is coming. */
  strangerBytesMax: 65_536,
  /** Connections of one address that have not logged in; one more is dropped. */
  strangersPerAddressMax: 100,
  connectionsMax: 10_000,
  /** Commands of one connection that wait for their answers before it is read no further. */
  commandsWaitingMax: 4_096,
  /** Bytes that wait for a consumer's socket before we stop handing it messages. */
  connectionPendingBytesMax: 1_048_576,
  /** Bytes appended and not yet on disk before we stop reading publishers' sockets, and where we read on. */
  unsyncedBytesMax: 33_554_432,
  unsyncedBytesResume: 16_777_216,
  /** Where nobody waits for a sync, one begins so long after what it is for, or when half of so many bytes are written. */
  syncDelayMs: 1_000,
  syncDelayBytesMax: 67_108_864,
  /** Queues whose flow is measured, of those that messages come to: a measured one takes a few KiB. */
  meteredQueuesMax: 10_000,
  /** Messages one dispatch hands out before other sockets get their turn. */
  deliveriesPerTurn: 2_048,
  /** Acks wait so long for a publish to share its sync. */
  ackDelayMs: 100,
  segmentBytesMax: 67_108_864,
  /** Messages kept in memory although they could be read from the log again, and what the objects around them take. */
  windowBytesMax: 67_108_864,
  /** Bytes of log that a restart reads at most, but for those written while a checkpoint is made; and the time between two. */
  checkpointBytes: 67_108_864,
  checkpointMs: 60_000,
  /** Time between two checkpoints that are made for the room they give back. */
  checkpointSoonMs: 1_000,
  /** Bytes that nobody needs in segments that somebody needs, before what lives is copied out of them; or half of that. */
  deadBytesMax: 134_217_728,
  /** So much a copy may take of what a disk can do. */
  compactionBytesPerSecond: 33_554_432,
  /** A checkpoint or a compaction goes on for so long before others get their turn. */
  sliceMs: 2,
  /** Room that is left on the disk for acknowledgements, two checkpoints and a compaction when publishers are stopped. */
  diskFreeBytesMin: 134_217_728,
  /** Kept on the disk to be deleted when it is full: for what waits to be written, and what must be before a segment can go. */
  reserveBytes: 67_108_864,
  /** Pages of indexes in memory; at 2 bytes an entry they hold eight million. */
  pageBytesMax: 16_777_216,
  /** One transaction is one frame of the log and waits in memory until it commits. */
  transactionBytesMax: 268_435_456,
  consumersPerChannelMax: 65_535,
  /** How long a remote consumer may hold a message, as in RabbitMQ, and how often that is looked at. */
  consumerTimeoutMs: 1_800_000,
  consumerCheckMs: 60_000,
  queuesMax: 1_000_000,
  /** The weight of one binding of a consistent hash exchange, in buckets, each of which is a reference. */
  hashBucketsMax: 10_000,
  /** Larger bodies are kept in files of their own, and in pieces of so many bytes. */
  bodyInlineBytesMax: 1_048_576,
  bodyChunkBytes: 262_144,
  /** Children of one parent: they are sent in one transaction. */
  gatherMax: 10_000,
  /** Notes of one namespace, and the memory they take: the oldest are forgotten. */
  notesMax: 100_000,
  noteBytesMax: 33_554_432,
  /** Results that are remembered for those who send the same again, in bytes; and how many of those wait for one. */
  keptOutcomeBytesMax: 65_536,
  askersMax: 100,
  /** Keys of one queue of which it is remembered how many messages they had lately, although nothing of them is there. */
  keyRatesMax: 100_000,
  /** Entries of one queue that are looked through for a key which may have a message now, while others have to wait. */
  stagedEntriesMax: 131_072,
  /** Messages that one look at a queue shows, those it leaves out before them, and their bytes: as many as one message holds. */
  peekedMax: 1_000,
  peekSkipMax: 100_000,
  peekedBytesMax: 16_777_216,
  /** An idempotency key, in bytes. */
  idempotencyKeyBytesMax: 255,
  /** Schedules of a broker, what each may publish, and all of them together: they are in memory, and in each checkpoint. */
  schedulesMax: 10_000,
  scheduleBodyBytesMax: 65_536,
  schedulesBytesMax: 33_554_432,
  /** Text of a schedule's name: a header and a message id have it in them. And of its time. */
  scheduleNameBytesMax: 200,
  cronLengthMax: 256,
  /** Time between two runs of a schedule: each is a frame of the log. At most a thousand years. */
  scheduleEveryMsMin: 100,
  scheduleEveryMsMax: 31_557_600_000_000,
  /** Runs that a schedule makes up for when it missed more, and runs of all schedules before others get their turn. */
  missedRunsMax: 1_000,
  scheduledRunsPerTurn: 1_000,
  /** A run that is later counts as missed. */
  scheduleLateMs: 60_000,
  /** Schedules are looked at so often, since the clock may have been set; while publishers are blocked, so often. */
  scheduleLookMs: 30_000,
  scheduleBlockedMs: 1_000,
  /** A clock that was set back by more is taken to have been wrong before: what is due is worked out anew, as cron does it. */
  clockSetBackMs: 10_800_000,
  /** Regular expressions in permissions and policies, in characters. */
  patternLengthMax: 256,
  /** Hashes of passwords that are made at once, each with 32 MiB and a thread, and logins that may wait for one. */
  hashesAtOnceMax: 2,
  hashesWaitingMax: 64,
  /** Who has logged in can do so again for so long without a hash. */
  loginRememberedMs: 60_000,
  loginsRememberedMax: 10_000,
  /** Failed logins from one address before it has to wait, how long at most, and how long and for how many it is remembered. */
  loginFailuresFree: 5,
  loginBackoffMsMax: 30_000,
  loginFailuresRememberedMs: 600_000,
  loginFailuresMax: 10_000,
  /** Names whose permissions, and routing keys whose topic permissions, a session remembers. */
  grantsMax: 4_096,
} as const

assert(limits.frameBytesMin <= limits.frameBytesInitial, 'what every peer must accept fits before tuning')
assert(limits.frameBytesInitial <= limits.frameBytesMax, 'tuning only widens')
assert(limits.unsyncedBytesResume < limits.unsyncedBytesMax, 'publishers resume below where they stop')
assert(limits.messageBytesMax <= limits.messageBytesCeiling, 'the default size is allowed')
assert(limits.reserveBytes >= limits.unsyncedBytesMax, 'what waits for a full disk fits into what is given back')
assert(limits.messageBytesMax <= limits.unsyncedBytesMax, 'one message of the default size never waits for itself')
