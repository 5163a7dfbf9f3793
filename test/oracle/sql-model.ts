/**
 * What a broker must hold, as two tables of SQLite. Each operation is one statement, or one transaction of a few; nobody
 * who wrote the broker wrote what sorts, groups and rolls back here.
 *
 *     queues     one row each; `target` is the queue its dead letters go to
 *     messages   one row per message and queue: ready, with a consumer (unacked), on its way to the target (dying), or one
 *                of which nobody can say whether it came there (maybe)
 *
 * A crash cuts off the last frames of the log. So each frame begins with a savepoint of its number, and whoever finds that
 * the last frame did not survive rolls back to it.
 */
import initSqlJs, { type Database, type SqlValue, type Statement } from 'sql.js'

export interface QueueFacts {
  readonly name: string
  readonly durable: boolean
  readonly maxPriority: number
  readonly keyed: boolean
  readonly ttlMs: number | null
  readonly target: string | null
  /** Whether the order is known: nobody can say when exactly a message expired that nobody saw. */
  readonly ordered: boolean
}

export interface SentMessage {
  readonly body: string
  readonly persistent: boolean
  readonly priority: number
  readonly key: string | null
  readonly ttlMs: number | null
}

/** How the broker may hold a message: it must be there, may be, or is either here or in the other queue. */
export type Presence = 'must' | 'may' | 'either'

export interface ExpectedMessage {
  readonly queue: string
  readonly body: string
  readonly priority: number
  readonly key: string | null
  readonly expires: number | null
  readonly presence: Presence
}

export interface ExpectedQueue {
  readonly name: string
  readonly bound: boolean
  readonly keyed: boolean
  readonly ordered: boolean
}

const schema = `
  PRAGMA foreign_keys = ON;
  CREATE TABLE queues (
    name         TEXT PRIMARY KEY,
    durable      INTEGER NOT NULL,
    max_priority INTEGER NOT NULL,
    keyed        INTEGER NOT NULL,
    ttl          INTEGER,
    target       TEXT,
    ordered      INTEGER NOT NULL,
    bound        INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE messages (
    id         INTEGER PRIMARY KEY,
    queue      TEXT NOT NULL REFERENCES queues ON DELETE CASCADE,
    place      INTEGER NOT NULL,
    body       TEXT NOT NULL,
    persistent INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    key        TEXT,
    expires    REAL,
    state      TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'unacked', 'dying', 'maybe')),
    died       INTEGER,
    channel    INTEGER,
    tag        INTEGER
  ) STRICT;
  CREATE INDEX in_order ON messages (queue, priority DESC, place);
  CREATE INDEX in_hand ON messages (channel, tag);
`

const nextPlace = `(SELECT 1 + max(coalesce(max(place), 0), coalesce(max(died), 0)) FROM messages)`
/** Priorities first, then the order in which they came; what was put back never lost its place. */
const inOrder = 'ORDER BY messages.priority DESC, messages.place'
const isFresh = '(expires IS NULL OR expires > $now)'

export class SqlModel {
  /** How many statements it took. */
  statements = 0
  private readonly database: Database
  private readonly prepared = new Map<string, Statement>()
  /** Frames that may be cut off, oldest first. */
  private frames: number[] = []

  private constructor(database: Database) {
    this.database = database
    database.exec(schema)
  }

  static async open(): Promise<SqlModel> {
    const { Database: Opened } = await initSqlJs()
    return new SqlModel(new Opened())
  }

  close(): void {
    for (const statement of this.prepared.values()) statement.free()
    this.database.close()
  }

  // ------------------------------------------------------------------------------------------------------- frames

  /** What follows happens in this frame of the log. */
  inFrame(lsn: number): void {
    if (this.frames.at(-1) === lsn) return
    this.frames.push(lsn)
    this.change(`SAVEPOINT frame_${lsn}`)
  }

  /** Frames up to this one are there for good. */
  durable(lsn: number): void {
    // Savepoints are let go from the last to the first: all of them, or none.
    if (this.frames.length > 0 && (this.frames.at(-1) as number) <= lsn) this.keepAll()
  }

  keepAll(): void {
    const [first] = this.frames
    if (first !== undefined) this.change(`RELEASE frame_${first}`)
    this.frames = []
  }

  /** Undoes the last frame if it is behind `durableLsn`; false if there is none. */
  cutLast(durableLsn: number): boolean {
    const last = this.frames.at(-1)
    if (last === undefined || last <= durableLsn) return false
    this.frames.pop()
    this.change(`ROLLBACK TO frame_${last}`)
    this.change(`RELEASE frame_${last}`)
    return true
  }

  get lastFrame(): number {
    return this.frames.at(-1) ?? 0
  }

  get mayBeCut(): boolean {
    return this.frames.length > 0
  }

  // --------------------------------------------------------------------------------------------------- operations

  declare({ name, durable, maxPriority, keyed, ttlMs, target, ordered }: QueueFacts): void {
    this.change(
      `INSERT INTO queues (name, durable, max_priority, keyed, ttl, target, ordered)
       VALUES ($name, $durable, $maxPriority, $keyed, $ttlMs, $target, $ordered) ON CONFLICT DO NOTHING`,
      { name, durable: +durable, maxPriority, keyed: +keyed, ttlMs, target, ordered: +ordered },
    )
  }

  bind(name: string): void {
    this.change('UPDATE queues SET bound = 1 WHERE name = $name', { name })
  }

  isThere(name: string): boolean {
    return this.one('SELECT count(*) FROM queues WHERE name = $name', { name }) === 1
  }

  /** To one queue, or (null) to all that are bound. */
  publish(queue: string | null, { body, persistent, priority, key, ttlMs }: SentMessage, now: number): void {
    this.change(
      `INSERT INTO messages (queue, place, body, persistent, priority, key, expires)
       SELECT name, ${nextPlace}, $body, $persistent, min($priority, max_priority), iif(keyed, $key, NULL),
              $now + min(coalesce(ttl, $ttlMs), coalesce($ttlMs, ttl))
       FROM queues WHERE iif($queue IS NULL, bound, name = $queue)`,
      { queue, body, persistent: +persistent, priority, key, ttlMs, now },
    )
  }

  /** Whether a message that goes there is stored. */
  isStored(queue: string | null, { persistent }: SentMessage): boolean {
    const durable = 'SELECT count(*) FROM queues WHERE durable AND iif($queue IS NULL, bound, name = $queue)'
    return persistent && this.one(durable, { queue }) !== 0
  }

  /** The message that basic.get must bring, which is with the channel then, or gone if it has no tag; null: none. */
  get(queue: string, channel: number, tag: number | null, now: number): string | null {
    const first = `SELECT id FROM messages WHERE queue = $queue AND state = 'ready' AND ${isFresh} ${inOrder} LIMIT 1`
    const taken =
      tag === null
        ? this.one(`DELETE FROM messages WHERE id = (${first}) RETURNING body`, { queue, now })
        : this.one(
            `UPDATE messages SET state = 'unacked', channel = $channel, tag = $tag WHERE id = (${first}) RETURNING body`,
            { queue, channel, tag, now },
          )
    return taken as string | null
  }

  /**
   * Keys take turns, so that basic.get brings the first message of any key of which none is out. With priorities the first
   * of a key is the one that was looked at first. Returns what is wrong with the one that came.
   */
  takeOfKey(queue: string, channel: number, tag: number, body: string | null, now: number): string | null {
    const isFree = `messages.key IS NULL OR NOT EXISTS (SELECT 1 FROM messages AS other
      WHERE other.queue = messages.queue AND other.key = messages.key AND other.state = 'unacked')`
    const candidates = `SELECT id FROM messages JOIN queues ON name = queue
      WHERE queue = $queue AND state = 'ready' AND ${isFresh} AND (${isFree}) AND (max_priority > 0 OR NOT EXISTS (
        SELECT 1 FROM messages AS earlier WHERE earlier.queue = messages.queue AND earlier.state = 'ready'
        AND earlier.key IS messages.key AND earlier.place < messages.place
        AND (earlier.expires IS NULL OR earlier.expires > $now)))`
    if (body === null) {
      // What expired or dies holds its key until it was read.
      const waiting = this.one(
        `SELECT count(*) FROM messages WHERE (queue = $queue AND (state = 'dying' OR NOT ${isFresh}))
           OR (state = 'maybe' AND queue = (SELECT target FROM queues WHERE name = $queue))`,
        { queue, now },
      )
      const count = this.one(`SELECT count(*) FROM (${candidates})`, { queue, now })
      if (count === 0 || waiting !== 0) return null
      return `nothing came of ${queue}, where ${String(count)} messages may go`
    }
    const id = this.one(`SELECT id FROM (${candidates}) JOIN messages USING (id) WHERE body = $body`, {
      queue,
      now,
      body,
    })
    if (id === null) return `'${head(body)}' came of ${queue}, and it is not the turn of its key`
    this.change(`UPDATE messages SET state = 'unacked', channel = $channel, tag = $tag WHERE id = $id`, {
      id,
      channel,
      tag,
    })
    return null
  }

  ack(channel: number, tag: number, multiple: boolean): void {
    this.change(`DELETE FROM messages WHERE ${held(multiple)}`, { channel, tag })
  }

  requeue(channel: number, tag: number, multiple: boolean): void {
    this.change(`UPDATE messages SET state = 'ready', channel = NULL, tag = NULL WHERE ${held(multiple)}`, {
      channel,
      tag,
    })
  }

  /** Dead letters are on their way until they are seen: the message may have to be read first. */
  reject(channel: number, tag: number, multiple: boolean): void {
    this.together(() => {
      this.change(
        `DELETE FROM messages WHERE ${held(multiple)} AND queue IN (SELECT name FROM queues WHERE target IS NULL)`,
        { channel, tag },
      )
      this.change(
        `UPDATE messages SET state = 'dying', died = ${nextPlace} + tag, channel = NULL, tag = NULL WHERE ${held(multiple)}`,
        { channel, tag },
      )
    })
  }

  /** A channel is closed: what it held is ready again. */
  closeChannel(channel: number): void {
    this.change(`UPDATE messages SET state = 'ready', channel = NULL, tag = NULL WHERE channel = $channel`, { channel })
  }

  purge(queue: string, now: number): void {
    this.together(() => {
      this.letGo(queue, `state = 'ready' AND NOT ${isFresh}`, now)
      this.change(`DELETE FROM messages WHERE queue = $queue AND state = 'ready'`, { queue })
    })
  }

  delete(queue: string, now: number): void {
    this.together(() => {
      this.letGo(queue, `state = 'dying' OR (state = 'ready' AND NOT ${isFresh})`, now)
      this.change('DELETE FROM queues WHERE name = $queue', { queue })
    })
  }

  /** All or nothing. */
  together(action: () => void): void {
    this.change('SAVEPOINT together')
    action()
    this.change('RELEASE together')
  }

  /** All has been quiet: dead letters have come where they go. */
  arrived(): void {
    this.change(
      `UPDATE messages SET state = 'ready', place = died, died = NULL, priority = 0, key = NULL, expires = NULL,
         queue = (SELECT target FROM queues WHERE name = queue)
       WHERE state = 'dying'`,
    )
  }

  /** Whether everything is known of a queue that dead letters go to. */
  isSettled(target: string): boolean {
    const open = this.one(
      `SELECT count(*) FROM messages JOIN queues ON name = queue
       WHERE (state = 'dying' AND target = $target) OR (state = 'maybe' AND queue = $target)`,
      { target },
    )
    return open === 0 && this.one('SELECT ordered FROM queues WHERE name = $target', { target }) === 1
  }

  /** Whether something expires so close to this moment that it depends on who looks. */
  expiresAround(now: number): boolean {
    const close = `SELECT count(*) FROM messages WHERE expires BETWEEN $now - 2 AND $now + 2`
    return this.one(close, { now }) !== 0
  }

  // ----------------------------------------------------------------------------------------------------- recovery

  /** The queues that a broker must find. */
  queues(): ExpectedQueue[] {
    return this.rows('SELECT name, bound, keyed, ordered FROM queues WHERE durable ORDER BY target IS NULL, name').map(
      ([name, bound, keyed, ordered]) => ({
        name: name as string,
        bound: bound === 1,
        keyed: keyed === 1,
        ordered: ordered === 1,
      }),
    )
  }

  /** Messages that a broker must or may find, once whatever has expired is where it goes. In order, queue by queue. */
  messages(now: number): ExpectedMessage[] {
    const rows = this.rows(
      `WITH surviving AS (
         SELECT messages.*, target, durable FROM messages JOIN queues ON name = queue WHERE persistent
       ), found AS (
         SELECT queue, priority, place, body, key, expires,
                CASE state WHEN 'dying' THEN 'either' WHEN 'maybe' THEN 'may' ELSE 'must' END AS presence
         FROM surviving WHERE durable AND ${isFresh}
         UNION ALL
         SELECT target, 0, coalesce(died, place), body, NULL, NULL,
                CASE WHEN NOT durable THEN 'may' WHEN state = 'dying' AND ${isFresh} THEN 'either' ELSE 'must' END
         FROM surviving WHERE target IS NOT NULL AND (state = 'dying' OR NOT ${isFresh})
       )
       SELECT queue, body, priority, key, CAST(expires AS INTEGER), presence FROM found ORDER BY queue, priority DESC, place`,
      { now },
    )
    return rows.map(([queue, body, priority, key, expires, presence]) => ({
      queue: queue as string,
      body: body as string,
      priority: priority as number,
      key: key as string | null,
      expires: expires as number | null,
      presence: presence as Presence,
    }))
  }

  /**
   * The broker has been closed, or recovered: nobody holds anything, and what does not survive is gone. `isFound` says
   * where those are of which it was not known.
   */
  reopened(now: number, isFound: (queue: string, body: string) => boolean): void {
    this.together(() => {
      for (const [name] of this.rows('SELECT name FROM queues WHERE NOT durable')) this.delete(name as string, now)
      this.change(`DELETE FROM messages WHERE NOT persistent`)
      this.change(`UPDATE messages SET state = 'ready', channel = NULL, tag = NULL WHERE state = 'unacked'`)
      const open = this.rows(
        `SELECT id, body, queue, state, target FROM messages JOIN queues ON name = queue WHERE state IN ('dying', 'maybe')`,
      )
      for (const [id, body, queue, state, target] of open as [number, string, string, string, string][]) {
        if (state === 'maybe') this.resolveMaybe(id, isFound(queue, body))
        else if (isFound(target, body)) {
          this.change(
            `UPDATE messages SET state = 'ready', queue = $target, place = died, died = NULL, priority = 0, key = NULL,
               expires = NULL WHERE id = $id`,
            { id, target },
          )
        } else this.change(`UPDATE messages SET state = 'ready', died = NULL WHERE id = $id`, { id })
      }
    })
  }

  /** One that was found may have been on its way still when it was purged, if that is not in an order. */
  private resolveMaybe(id: number, isFound: boolean): void {
    if (!isFound) this.change('DELETE FROM messages WHERE id = $id', { id })
    else {
      this.change(
        `UPDATE messages SET state = 'ready' WHERE id = $id AND queue IN (SELECT name FROM queues WHERE ordered)`,
        { id },
      )
    }
  }

  /** Of those that go to another queue nobody knows whether they went in time. */
  private letGo(queue: string, which: string, now: number): void {
    this.change(
      `UPDATE messages SET state = 'maybe', place = coalesce(died, place), died = NULL, priority = 0, key = NULL,
         expires = NULL, queue = (SELECT target FROM queues WHERE name = $queue)
       WHERE queue = $queue AND (SELECT target FROM queues WHERE name = $queue) IS NOT NULL AND (${which})`,
      { queue, now },
    )
  }

  // ------------------------------------------------------------------------------------------------------ SQLite

  private change(sql: string, values: Readonly<Record<string, SqlValue>> = {}): void {
    this.rows(sql, values)
  }

  private one(sql: string, values: Readonly<Record<string, SqlValue>>): SqlValue {
    return this.rows(sql, values)[0]?.[0] ?? null
  }

  private rows(sql: string, values: Readonly<Record<string, SqlValue>> = {}): SqlValue[][] {
    this.statements++
    let statement = this.prepared.get(sql)
    if (statement === undefined) {
      statement = this.database.prepare(sql)
      // A savepoint's name is its own.
      if (!sql.includes('frame_')) this.prepared.set(sql, statement)
    }
    statement.bind(Object.fromEntries(Object.entries(values).map(([name, value]) => [`$${name}`, value])))
    const rows: SqlValue[][] = []
    while (statement.step()) rows.push(statement.get())
    if (sql.includes('frame_')) statement.free()
    else statement.reset()
    return rows
  }
}

function held(multiple: boolean): string {
  return `channel = $channel AND tag ${multiple ? '<=' : '='} $tag`
}

export function head(body: string): string {
  return body.slice(0, body.indexOf(':'))
}
