// Who tests the tester: bugs planted in a copy of the build, each of which the simulator must find.
//
// Normally a bug meets only the seed that once found it and some after it. `PLANTED_SEEDS=1000 npx vitest run
// test/planted-bugs.test.ts` begins at seed 1, 5001 or 10000001, and prints which seed finds what: that is how the seeds below were
// found.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { featureSeedsMin, usualSeedsMax } from '../src/testing/simulation/level.ts'

interface Patch {
  /** In dist/. */
  readonly file: string
  /** Must occur once; spaces and line breaks in it stand for any. */
  readonly from: string
  readonly to: string
}

interface Bug {
  readonly name: string
  readonly patches: readonly Patch[]
  /** A seed that finds it. */
  readonly seed: number
  /** It is a seed of a history of letters, or of the typed API. */
  readonly letters?: true
  readonly api?: true
}

/** Bugs that trying every crash of a short workload finds, without any seed, and that workload. There are more. */
const foundByExhaustion: Readonly<Record<string, string>> = {
  'fdatasync is skipped': 'publish',
  'settlements that ride with publishes are lost': 'acknowledge',
  'the directory is not synced after a segment was created': 'segments',
  'pages are not synced before a checkpoint names them': 'pages',
  'a segment goes although a checkpoint knows its messages there': 'compaction',
  'a dead letter is published in one frame and settled in the next': 'dead-letters',
  'a checkpoint forgets what is hidden': 'delays',
  'what is due is published anew in one frame and settled in the next': 'delays',
  'a purge leaves what is hidden': 'delays',
}

const log = 'log/segmented-log.js'
const store = 'store/log-store.js'
const channel = 'broker/channel.js'
const units = 'broker/channel-units.js'
const exits = 'broker/queue-exits.js'
const outcomes = 'client/outcomes.js'

const bugs: readonly Bug[] = [
  {
    name: 'fdatasync is skipped',
    patches: [{ file: log, from: 'await file.sync(); if (isNew)', to: 'if (isNew)' }],
    seed: 1,
  },
  {
    name: 'a frame is called durable before its sync is done',
    patches: [
      {
        file: log,
        from: 'await file.sync(); if (isNew)',
        to: 'this.durableLsnNow = batch.lsn; this.events.durable(batch.lsn); await file.sync(); if (isNew)',
      },
    ],
    seed: 1,
  },
  {
    name: 'a failed sync is tried again',
    patches: [
      {
        file: log,
        from: 'await file.sync(); if (isNew)',
        to: 'await file.sync().catch(() => file.sync()); if (isNew)',
      },
    ],
    seed: 1,
  },
  {
    name: 'a failed write counts as done',
    patches: [
      {
        file: log,
        from: 'if (isSystemError(error)) this.stop(batch, error);',
        to: 'if (isSystemError(error)) this.land(batch);',
      },
    ],
    seed: 11,
  },
  {
    name: 'the directory is not synced after a segment was created',
    patches: [{ file: log, from: 'if (isNew) await disk.syncDirectory(this.logDirectory);', to: '' }],
    seed: 1,
  },
  {
    name: 'segments are deleted before the frame that gives them up is durable',
    patches: [
      {
        file: log,
        from: 'this.flying = this.fly(batch); } /**',
        to: 'this.deleteRetired(batch.retiring); batch.retiring = []; this.flying = this.fly(batch); } /**',
      },
    ],
    seed: 35,
  },
  {
    name: 'the log goes on behind a torn tail instead of in a new segment',
    patches: [
      {
        file: 'log/recovery.js',
        from: 'const segment = await this.beginSegment(isReplacing);',
        to: `const segment = this.scan.torn === null || this.unproven.list.length > 0
          ? await this.beginSegment(isReplacing)
          : Object.assign(found.list.at(-1).segment, {
              file: await platform.disk.open(found.list.at(-1).segment.path, 'write'),
            });`,
      },
      {
        file: 'log/recovery.js',
        from: 'if (isReplacing) segments.pop(); segments.push(segment);',
        to: 'if (isReplacing || segments.at(-1) === segment) segments.pop(); segment.sealed = false; segments.push(segment);',
      },
    ],
    seed: 1,
  },
  {
    name: 'nobody looks whether one frame follows the other',
    patches: [
      { file: 'log/frame-check.js', from: 'if (framePreviousCrc(buffer, at) !== segment.lastCrc)', to: 'if (false)' },
      {
        file: 'log/log-scan.js',
        from: 'follower !== null && follower.segment.previousCrc !== segment.lastCrc',
        to: 'false',
      },
      { file: 'log/retention.js', from: '|| entry.lastCrc !== segment.lastCrc', to: '' },
    ],
    seed: 33,
  },
  {
    name: 'of a torn frame the records that are whole are taken',
    patches: [
      {
        file: 'log/frame.js',
        from: 'if (recordEnd === -1) return `record ${recordCount} of the frame does not match its checksum and address`;',
        to: 'if (recordEnd === -1) return null;',
      },
      {
        file: 'log/frame-delivery.js',
        from: 'while (at < end) { const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4);',
        to: `while (at < end) {
          const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4);
          if (recordEnd > end || buffer.readUInt32LE(at + 16) !== segment.id) break;`,
      },
    ],
    seed: 2,
  },
  {
    name: 'whatever is not valid is taken for a torn tail',
    patches: [
      {
        file: 'log/log-scan.js',
        from: 'isLast && (await isTorn(reader, found, offset, lsn, watermarks))',
        to: 'isLast',
      },
    ],
    seed: 76,
  },
  {
    name: 'what is not proven durable is not written again',
    patches: [{ file: 'log/unproven-frames.js', from: 'if (isLast && lsn > watermarks.syncedLsn)', to: 'if (false)' }],
    seed: 4,
  },
  {
    name: 'the number of a torn frame is used again',
    patches: [{ file: 'log/log-scan.js', from: 'watermarks.noteUsed(lsn);', to: '' }],
    seed: 3,
  },
  {
    name: 'settlements that ride with publishes are lost',
    patches: [
      {
        file: store,
        from: 'writeSettlementsOf(index) { if (index.settled.isEmpty) return;',
        to: 'writeSettlementsOf(index) { if (this.log.openRecords > 0) index.settled.clear(); if (index.settled.isEmpty) return;',
      },
    ],
    seed: 1,
  },
  {
    name: 'a checkpoint forgets what consumers hold',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'else (lane ?? first)?.entries.push(entry);',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'redelivered is not set after an unclean end',
    patches: [
      {
        file: 'store/replay.js',
        from: 'index.recovered(nextSequence, nextSequence, nowMs)',
        to: 'index.recovered(nextSequence, queue.suspectBelow, nowMs)',
      },
    ],
    seed: 1,
  },
  {
    name: 'an old clean end still counts after a crash',
    patches: [
      {
        file: 'store/replay.js',
        from: 'this.cleanEpoch === epoch - 1 || this.finalEpoch === epoch - 1',
        to: 'this.cleanEpoch !== 0 || this.finalEpoch !== 0',
      },
      {
        file: 'store/replay.js',
        from: 'if (this.isAfter(this.topologyPosition)) this.finalEpoch = 0;',
        to: '',
      },
    ],
    seed: 2,
  },
  {
    name: 'a requeued message goes to the end',
    patches: [
      {
        file: 'store/lane.js',
        from: 'requeue(entry) { this.returned.push(entry); entry.isReturned = true; if (entry.message === null) this.returnedBare++;',
        to: 'requeue(entry) { this.window.push(entry); if (entry.message === null) this.windowBare++;',
      },
    ],
    seed: 1,
  },
  {
    name: 'a transaction is cut in two frames',
    patches: [
      {
        file: units,
        from: 'if (this.outstanding.settleAll(unit.settlements))',
        to: 'this.parts.store.commit(); if (this.outstanding.settleAll(unit.settlements))',
      },
    ],
    seed: 2,
  },
  {
    name: 'a queue that is declared again is not waited for',
    patches: [
      {
        file: channel,
        from: 'const lsn = queue.durable && !command.passive ? parts.store.barrier() : 0;',
        to: 'const lsn = 0;',
      },
    ],
    seed: 1,
  },
  {
    name: 'the acks of a transaction are in the frame after its publishes',
    patches: [
      {
        file: store,
        from: 'writeSettlements() { for',
        to: 'writeSettlements() { if (this.log.openRecords > 0 && !this.closing) return; for',
      },
    ],
    seed: 1,
  },
  {
    name: 'an idle log takes the number that acks were promised',
    patches: [{ file: log, from: 'if (this.expectsRecords)', to: 'if (false)' }],
    seed: 629,
  },
  {
    name: 'settlements wait until something else is stored',
    patches: [
      {
        file: store,
        from: 'this.ackTimer ??= this.platform.clock.setTimer(limits.ackDelayMs, () => this.writeOverdue());',
        to: '',
      },
    ],
    seed: 6,
  },
  {
    name: 'the segment of an opening is not synced before it gets its name',
    patches: [{ file: 'log/fresh-segment.js', from: 'await file.sync();', to: '' }],
    seed: 8,
  },
  {
    name: 'a frame that has to move keeps its old addresses',
    patches: [
      { file: log, from: 'batch.move(home, framesStart);', to: 'batch.segment = home; batch.offset = framesStart;' },
    ],
    seed: 32,
  },
  {
    name: 'publishers stay blocked when the disk takes writes again',
    patches: [{ file: log, from: 'this.stall = null; this.events.resumed();', to: 'this.stall = null;' }],
    seed: 71,
  },
  {
    name: 'a queue gives the same sequence twice',
    patches: [
      {
        file: 'store/queue-index.js',
        from: 'this.nextSequence = Math.max(this.nextSequence, nextSequence);',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'a purge is not recorded',
    patches: [
      {
        file: 'store/queue-index.js',
        from: 'this.backing.purged(this);',
        to: '',
      },
    ],
    seed: 3,
  },
  {
    name: 'an output buffer is used again before the network has taken it',
    patches: [
      {
        file: 'amqp/connection-output.js',
        from: 'this.socket.write(buffer, length, this.written);',
        to: 'this.socket.write(buffer, length, null); this.frames.pool?.give(buffer);',
      },
    ],
    seed: 196,
  },
  {
    name: 'a checkpoint gets its name before its frames are durable',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'await this.reached(last);',
        to: '',
      },
    ],
    seed: 11,
  },
  {
    name: 'a checkpoint gets its name before it is synced',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'await this.syncOrBreak(() => file.sync());',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'pages are not synced before a checkpoint names them',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'await this.syncOrBreak(() => this.pages.sync());',
        to: '',
      },
    ],
    seed: 3,
  },
  {
    name: 'what a checkpoint holds is applied to it once more',
    patches: [
      {
        file: 'store/replay.js',
        from: 'return this.lsn > lsn || (this.lsn === lsn && this.records >= records);',
        to: 'return true;',
      },
    ],
    seed: 1,
  },
  {
    name: 'what a checkpoint was told is durable counts as unproven',
    patches: [
      {
        file: 'log/recovery.js',
        from: 'watermarks.noteSynced(start.syncedLsn);',
        to: '',
      },
    ],
    seed: 339,
  },
  {
    name: 'a segment goes although a checkpoint knows its messages there',
    patches: [
      {
        file: 'store/compactor.js',
        from: 'for (const segment of victims) segment.neededBefore = nextCheckpointId;',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'a cold segment is not synced',
    patches: [
      {
        file: 'store/cold-writer.js',
        from: 'await file.sync(); await this.disk.syncDirectory(this.directory);',
        to: '',
      },
    ],
    seed: 3,
  },
  {
    name: 'a copied record keeps its old address',
    patches: [
      {
        file: 'log/cold-segment.js',
        from: 'target.writeUInt32LE(offset, at + recordHeaderBytes - 4);',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'a message that is let go of does not count in its segment',
    patches: [
      {
        file: 'store/entry-memory.js',
        from: 'segment.live++; segment.references++;',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'what arrives overtakes the backlog',
    patches: [
      {
        file: 'store/lane.js',
        from: 'if (this.late.length > 0 || (this.backlog !== null && this.backlog.count > 0)) this.late.push(entry);',
        to: 'if (false) this.late.push(entry);',
      },
    ],
    seed: 1,
  },
  {
    name: 'a damaged page is believed',
    patches: [
      {
        file: 'store/page-files.js',
        from: 'read !== buffer.length || crc32(buffer, 0, buffer.length, 0) !== page.crc',
        to: 'read !== buffer.length',
      },
    ],
    seed: 247,
  },
  {
    name: 'a damaged record is handed out',
    patches: [
      {
        file: 'store/record-reader.js',
        from: 'const recordEnd = checkRecord(buffer, at, end, segment.saltCrc, segment.id, offset);',
        to: 'const recordEnd = at + entry.recordBytes;',
      },
    ],
    seed: 5,
  },
  {
    name: 'recovery forgets priorities',
    patches: [
      {
        file: 'store/replay.js',
        from: 'const priority = buffer[at + 10];',
        to: 'const priority = 0;',
      },
    ],
    seed: 1,
  },
  {
    name: 'a cold segment that is empty goes while records are being moved to it',
    patches: [{ file: store, from: 'segment.live > 0 || !segment.sealed ||', to: 'segment.live > 0 ||' }],
    seed: 315,
  },
  {
    name: 'the old place of a record goes as soon as all of it moved, while others have their turn',
    patches: [
      {
        file: 'store/compactor.js',
        from: 'this.log.addCold(copy.segment); // Before anything moves: a victim may be empty while others have their turn, or the move may be given up half-way. this.keepForOlderCheckpoints(victims);',
        to: 'this.log.addCold(copy.segment);',
      },
      {
        file: 'store/compactor.js',
        from: '} finally { copy.segment.sealed = true;',
        to: 'this.keepForOlderCheckpoints(victims); } finally { copy.segment.sealed = true;',
      },
    ],
    seed: 1515,
  },
  // From here on at levels of durability that seeds up to 5,000 do not have (src/testing/simulation/level.ts).
  {
    name: 'a frame calls synced what is only written',
    patches: [{ file: log, from: 'batch.seal(this.durableLsnNow,', to: 'batch.seal(this.writtenLsn,' }],
    seed: 5009,
  },
  {
    name: 'a valid frame behind a bad one means damage where syncing is put off, too',
    patches: [
      { file: 'log/frame-search.js', from: 'if (hitLsn > lsn && !found.segment.isDeferred)', to: 'if (hitLsn > lsn)' },
    ],
    seed: 5009,
  },
  {
    name: 'a segment is begun before what lies before it is synced',
    patches: [{ file: log, from: 'await this.background.settle(); if (this.failure', to: 'if (this.failure' }],
    seed: 5005,
  },
  {
    name: 'segments go with a frame that is synced later',
    patches: [{ file: log, from: '|| batch.retiring.length > 0 ||', to: '||' }],
    seed: 5066,
  },
  {
    name: 'with write a confirm does not wait for the write',
    patches: [
      {
        file: store,
        from: "this.options.durability === 'none' && this.takesWrites",
        to: "this.options.durability !== 'fsync' && this.takesWrites",
      },
    ],
    seed: 5001,
  },
  {
    name: 'deliverAfter sync is content with what is written',
    patches: [{ file: log, from: 'home === this.tail && this.background !== null ?', to: 'false ?' }],
    seed: 5005,
  },
  {
    name: 'numbers of frames that left no trace are used again',
    patches: [
      {
        file: 'log/log-scan.js',
        from: 'if (segment.isDeferred) watermarks.noteUsed(lsn + deferredFramesMax);',
        to: '',
      },
    ],
    seed: 5005,
  },
  {
    name: 'a frame comes before those held back before it',
    patches: [
      {
        file: 'log/unproven-frames.js',
        from: 'watermarks.noteSynced(frameSyncedLsn(buffer, end)); this.release();',
        to: 'watermarks.noteSynced(frameSyncedLsn(buffer, end));',
      },
    ],
    seed: 5005,
  },
  {
    name: 'a sync counts for what was written while it ran',
    patches: [{ file: 'log/background-sync.js', from: 'this.synced = written;', to: 'this.synced = this.written;' }],
    seed: 5013,
  },
  {
    name: 'a checkpoint waits for frames to be written, not for their sync',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'if (this.log.durableLsn < wanted)',
        to: 'if (this.log.writtenLsn < wanted)',
      },
    ],
    seed: 5017,
  },
  {
    name: 'what is written is never synced in the background',
    patches: [
      {
        file: 'log/background-sync.js',
        from: 'this.cancelTimer = null; this.start();',
        to: 'this.cancelTimer = null;',
      },
    ],
    seed: 5001,
  },
  {
    name: 'a checkpoint counts before the deletion of a queue that it leaves out is durable',
    patches: [{ file: 'store/checkpointer.js', from: 'last = this.position(); continue;', to: 'continue;' }],
    seed: 2012423,
  },
  {
    name: 'a dead letter is published in one frame and settled in the next',
    patches: [
      {
        file: 'broker/dead-letters.js',
        from: 'queue.index.settle(entry); tick.schedule();',
        to: 'tick.store.commit(); queue.index.settle(entry); tick.schedule();',
      },
    ],
    seed: 16,
    letters: true,
  },
  {
    name: 'keys do not count for what a recovery brought',
    patches: [
      {
        file: 'broker/queue.js',
        from: 'if (this.isKeyed) index.useKeys(keyConcurrency, keyRate);',
        to: 'if (this.isKeyed && index.readyCount === 0) index.useKeys(keyConcurrency, keyRate);',
      },
    ],
    seed: 3,
    letters: true,
  },
  {
    name: 'a requeued message goes behind the others of its key',
    patches: [
      {
        file: 'store/key-turns.js',
        from: 'key.waiting.unshift(entry); for (const other of later.reverse()) key.waiting.unshift(other);',
        to: 'for (const other of later.reverse()) key.waiting.unshift(other); key.waiting.push(entry);',
      },
    ],
    seed: 5,
    letters: true,
  },
  {
    name: 'a checkpoint forgets when messages expire',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'told.expiresAt = entry.dueAt > 0 ? entry.dueAt : entry.expiresAt;',
        to: 'told.expiresAt = 0;',
      },
    ],
    seed: 2,
    letters: true,
  },
  {
    name: 'what expired behind the head is handed out with it',
    patches: [
      {
        file: 'broker/queue.js',
        from: 'if (index.mayExpire && !this.exits.dropExpired(this.tick.nowMs - 1)) break;',
        to: 'if (index.mayExpire && left === budget && !this.dropExpired(this.tick.nowMs - 1)) break;',
      },
    ],
    seed: 5,
    letters: true,
  },
  // From here on letters some of which are hidden for a while: those of seeds up to 5,000 are not (letter-plan.ts).
  {
    name: 'a checkpoint forgets what is hidden',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'index.lanes.forEach((lane) => lanes.push(captureLane(lane)));',
        to: 'index.lanes.forEach((lane) => { if (lane.number < 256) lanes.push(captureLane(lane)); });',
      },
    ],
    seed: 5005,
    letters: true,
  },
  {
    name: 'a hidden message appears when its 16 ms begin',
    patches: [
      {
        file: 'store/delay-wheel.js',
        from: 'turnMs: level === 0 ? startMs + unitMs : startMs',
        to: 'turnMs: startMs',
      },
    ],
    seed: 5005,
    letters: true,
  },
  {
    name: 'a slot of a second is not spread over shorter ones',
    patches: [
      {
        file: 'store/delay-wheel.js',
        from: 'if (level > 0) this.spread(entry, turnMs);',
        to: 'if (level > 1) this.spread(entry, turnMs);',
      },
    ],
    seed: 5005,
    letters: true,
  },
  {
    name: 'what is due is published anew in one frame and settled in the next',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'publishes.addRoute(queue.id, queue.admit(entry)); publishes.end();',
        to: 'publishes.addRoute(queue.id, queue.admit(entry)); publishes.end(); this.store.commit();',
      },
    ],
    seed: 5033,
    letters: true,
  },
  {
    name: 'recovery takes what is hidden for ready',
    patches: [
      {
        file: 'store/replay.js',
        from: 'isDelayed ? queue.index.delayedLane(priority) : queue.index.laneOf(priority)',
        to: 'queue.index.laneOf(priority)',
      },
    ],
    seed: 5005,
    letters: true,
  },
  {
    name: 'a purge leaves what is hidden',
    patches: [
      {
        file: 'store/queue-index.js',
        from: 'this.lanes.hidden?.clear((entry) => this.memory.free(entry));',
        to: '',
      },
    ],
    seed: 5024,
    letters: true,
  },
  {
    name: 'what may wait a while when it is due may wait from when it was published',
    patches: [{ file: 'broker/queue.js', from: 'expiresAt === 0 ? 0 : expiresAt + hiddenMs', to: 'expiresAt' }],
    seed: 5006,
    letters: true,
  },
  {
    name: 'what was hidden had the turn of its key',
    patches: [
      {
        file: 'store/queue-index.js',
        from: 'if (entry.dueAt === 0 && !entry.isLost) this.ready.settled(entry);',
        to: 'if (!entry.isLost) this.ready.settled(entry);',
      },
    ],
    seed: 5001,
    letters: true,
  },
  {
    name: 'a checkpoint takes what is due and being read for ready',
    patches: [
      {
        file: 'store/checkpointer.js',
        from: 'entry.dueAt > 0 ? firstDelayedLane(entry.priority) : entry.priority;',
        to: 'entry.priority;',
      },
      {
        file: 'store/checkpointer.js',
        from: 'entry.dueAt > 0 ? ttlOf(entry.dueAt, entry.expiresAt) : entry.deliveryCount;',
        to: 'entry.deliveryCount;',
      },
      {
        file: 'store/checkpointer.js',
        from: 'entry.dueAt > 0 ? entry.dueAt : entry.expiresAt;',
        to: 'entry.expiresAt;',
      },
    ],
    seed: 5063,
    letters: true,
  },
  {
    name: 'a rescued page of what is hidden does not know when it is due',
    patches: [
      {
        file: 'store/index-salvage.js',
        from: 'expiresAt: isDelayed ? dueAt : expiresAt,',
        to: 'expiresAt,',
      },
    ],
    seed: 5196,
    letters: true,
  },
  // From here on what programs written for RabbitMQ declare (src/testing/simulation/features.ts, letter-plan.ts).
  {
    name: 'the alternate exchange is asked although a binding took the message',
    patches: [
      {
        file: 'broker/exchange.js',
        from: 'if (!found && this.alternate !== null)',
        to: 'if (this.alternate !== null)',
      },
    ],
    seed: 10_000_004,
  },
  {
    name: 'a message that asks for copies goes to one queue twice',
    patches: [
      {
        file: 'broker/route-set.js',
        from: 'if (queue.routeMark === this.generation) return;',
        to: 'if (queue.routeMark === this.generation && this.copies.length === 0) return;',
      },
    ],
    seed: 10_000_002,
  },
  {
    name: 'receivers see the keys in BCC',
    patches: [
      {
        file: 'broker/rewrite.js',
        from: "without: ['BCC'], headers",
        to: 'without: [], headers',
      },
    ],
    seed: 10_000_001,
  },
  {
    name: 'a publish that is refused goes into the queue all the same',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'full.push(queue); else routes.queues[kept++] = queue;',
        to: 'full.push(queue); routes.queues[kept++] = queue;',
      },
    ],
    seed: 10_000_001,
  },
  {
    name: 'where one queue refuses a publish no other gets it',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'this.keepRoutes(kept); const lsn',
        to: 'this.keepRoutes(full.length > 0 ? 0 : kept); const lsn',
      },
    ],
    seed: 10_000_002,
  },
  {
    name: 'a transaction is refused when half of it is done',
    patches: [
      { file: units, from: 'if (host.refusingQueues > 0) this.checkRoom(host, unit);', to: '' },
      {
        file: units,
        from: 'if (unit.mandatory[at] === true',
        to: "if (publisher.refused) throw new BrokerError('PRECONDITION_FAILED', ''); if (unit.mandatory[at] === true",
      },
    ],
    seed: 10_000_007,
  },
  {
    name: 'a queue with a single active consumer serves the next one when that has no credit',
    patches: [
      {
        file: 'broker/consumer-turns.js',
        from: 'if (this.isSingle) return this.active?.hasCredit === true ? this.active : null;',
        to: 'if (this.isSingle && this.active?.hasCredit === true) return this.active;',
      },
    ],
    seed: 10_000_001,
  },
  {
    name: 'consumers of a lower priority come first',
    patches: [
      {
        file: 'broker/consumer-turns.js',
        from: 'for (let at = 0; at < ranks.length; at++) {',
        to: 'for (let at = ranks.length - 1; at >= 0; at--) {',
      },
    ],
    seed: 10_000_009,
  },
  {
    name: 'a queue that holds too much drops the newest',
    patches: [
      {
        file: exits,
        from: 'const entry = index.takeFirst();',
        to: 'const all = []; for (let one = index.takeFirst(); one !== undefined; one = index.takeFirst()) all.push(one); const entry = all.pop(); for (const one of all) { index.held(one); index.requeue(one); }',
      },
    ],
    seed: 10_000_012,
    letters: true,
  },
  {
    name: 'what comes back is never too much for a queue',
    patches: [
      { file: 'broker/queue.js', from: 'accept(message, logged) {', to: 'accept(message, logged) { this.grew = true;' },
      {
        file: 'broker/queue.js',
        from: 'if (this.limit !== null && !isHandingOut) this.exits.dropExcess(this.limit);',
        to: 'if (this.limit !== null && !isHandingOut && this.grew) this.dropExcess(this.limit); this.grew = false;',
      },
    ],
    seed: 10_000_008,
    letters: true,
  },
  {
    name: 'a limit counts what consumers hold',
    patches: [
      {
        file: exits,
        from: 'while (limit.isExceeded(index.readyCount, index.readyBytes)',
        to: 'while (limit.isExceeded(index.readyCount + this.queue.unackedCount, index.readyBytes)',
      },
    ],
    seed: 10_000_002,
    letters: true,
  },
  {
    name: 'a queue with keys drops only what a consumer could be given',
    patches: [{ file: exits, from: 'const entry = index.takeFirst();', to: 'const entry = index.take();' }],
    seed: 10_000_062,
    letters: true,
  },
  {
    name: 'that something was dropped is not written down',
    patches: [
      {
        file: 'broker/dead-letters.js',
        from: 'queue.index.settle(entry); tick.schedule();',
        to: "if (reason !== 'maxlen') queue.index.settle(entry); else { queue.index.heldEntries.remove(entry); queue.index.keys?.settled(entry); queue.index.free(entry); } tick.schedule();",
      },
    ],
    seed: 10_000_001,
    letters: true,
  },
  {
    name: 'what a full queue refuses does not go to its dead-letter exchange',
    patches: [
      { file: 'broker/queue.js', from: "if (this.limit?.overflow === 'reject-publish-dlx')", to: 'if (false)' },
    ],
    seed: 10_000_045,
    letters: true,
  },
  {
    name: 'a message is given up one return too late',
    patches: [
      {
        file: 'broker/queue.js',
        from: 'if (entry.deliveryCount > this.deliveryLimit) {',
        to: 'if (entry.deliveryCount > this.deliveryLimit + 1) {',
      },
    ],
    seed: 10_000_001,
    letters: true,
  },
  {
    name: 'a message is given up one return too early',
    patches: [
      {
        file: 'broker/queue.js',
        from: 'if (entry.deliveryCount > this.deliveryLimit) {',
        to: 'if (entry.deliveryCount >= this.deliveryLimit) {',
      },
    ],
    seed: 10_000_003,
    letters: true,
  },
  {
    name: 'nobody notes how often a message came back',
    patches: [
      { file: 'broker/queue.js', from: 'this.parts.deliveryCounts.remember(this.id, entry, this.tick.nowMs);', to: '' },
    ],
    seed: 10_000_219,
    letters: true,
  },
  {
    name: 'a count that a checkpoint knows is believed, whatever was noted since',
    patches: [
      {
        file: 'broker/delivery-counts.js',
        from: 'if (noted > entry.deliveryCount)',
        to: 'if (noted > entry.deliveryCount && entry.deliveryCount <= 1)',
      },
    ],
    seed: 10_000_672,
    letters: true,
  },
  {
    name: 'messages are given up when the storage has failed',
    patches: [
      {
        file: 'broker/departures.js',
        from: 'if (this.tick.stopped) return; if (entry.message',
        to: 'if (entry.message',
      },
    ],
    seed: 10_000_479,
    letters: true,
  },
  {
    name: 'an exchange releases messages early',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'queue.hide(message, true, hiddenMs)',
        to: 'queue.hide(message, true, hiddenMs / 2)',
      },
    ],
    seed: 10_000_001,
    letters: true,
  },
  {
    name: 'what an exchange releases is published in one frame and settled in the next',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'else this.take(host, message); } /** Leaves out',
        to: 'else { this.take(host, message); this.store.commit(); } } /** Leaves out',
      },
    ],
    seed: 10_000_029,
    letters: true,
  },
  {
    name: 'what an exchange keeps back does not survive',
    patches: [
      {
        file: 'broker/publisher.js',
        from: 'if (!message.persistent || !store.persists || !queue.durable) {',
        to: 'if (message.persistent) {',
      },
    ],
    seed: 10_000_001,
    letters: true,
  },
  {
    name: 'a queue that is asked for messages goes as if nobody used it',
    patches: [{ file: 'broker/lease.js', from: 'this.renewedMs = this.clock.monotonicMs(); } end()', to: '} end()' }],
    seed: 10_000_003,
    letters: true,
  },
  {
    name: 'a queue that nobody uses stays',
    patches: [{ file: 'broker/lease.js', from: 'wake() { if (this.lapsed === null) return;', to: 'wake() { return;' }],
    seed: 10_000_001,
    letters: true,
  },
]

/** What publishes beside the commit, as whoever does not know of it would. */
const publishBeside = (message: string): string =>
  `this.parts.sender.publish(${message}, false, { what: '', bytes: 0, id: '', unroutable: false, stored() {}, refused() {} });`

/** What only the client can do wrong, or its users see, in histories of the typed API (src/testing/api-histories). */
const apiBugs: readonly Bug[] = [
  {
    name: 'a result is published beside the commit',
    patches: [
      {
        file: outcomes,
        from: 'task.publish(resultAnswer(properties, this.queueName, body));',
        to: publishBeside('resultAnswer(properties, this.queueName, body)'),
      },
    ],
    seed: 33,
  },
  {
    name: 'a copy for the next attempt is published beside the commit',
    patches: [
      {
        file: outcomes,
        from: 'task.publish(retryCopy(task.message, properties, this.queueName, failure, delayMs));',
        to: publishBeside('retryCopy(task.message, properties, this.queueName, failure, delayMs)'),
      },
    ],
    seed: 62,
  },
  {
    name: 'a dead letter is published beside the commit',
    patches: [
      {
        file: outcomes,
        from: 'task.publish(deadLetter(task.message, propertiesForCopy(task), this.queueName, target, failure));',
        to: publishBeside('deadLetter(task.message, propertiesForCopy(task), this.queueName, target, failure)'),
      },
    ],
    seed: 33,
  },
  {
    name: 'a batch is acknowledged before what it sends is stored',
    patches: [
      {
        file: 'client/acknowledger.js',
        from: 'if (batch.publishes !== null || this.committer.isTransactional) return this.committer.add(batch);',
        to: `for (const task of batch.members) this.channel.ack(task.tag, false);
          if (batch.publishes !== null) this.parts.platform.clock.defer(() => this.parts.platform.clock.defer(() => {
            this.committer.add(batch);
            this.committer.commit();
          }));
          return;`,
      },
      { file: 'client/batch.js', from: 'for (const task of this.settled) tags.push(task.tag);', to: '' },
    ],
    seed: 8,
  },
  {
    name: 'what a handler emits is emitted at once',
    patches: [
      {
        file: 'client/handler-sends.js',
        from: 'const outgoing = this.owner.findEvent(event).prepareNow(data, options); this.outgoing.push(outgoing);',
        to: 'const outgoing = this.owner.findEvent(event).prepareNow(data, options); this.owner.findEvent(event).emit(data, options).catch(() => {});',
      },
    ],
    seed: 2,
  },
  {
    name: 'what a failed attempt has sent goes with its copy',
    patches: [
      {
        file: 'client/task.js',
        from: 'this.publishes = null; this.extra?.sends?.drop();',
        to: 'this.publishes = null;',
      },
    ],
    seed: 2,
  },
  {
    name: 'an attempt counts for nothing if the message came before',
    patches: [
      {
        file: outcomes,
        from: 'return { text, attempt: task.attempt, realtimeMs',
        to: 'return { text, attempt: task.redelivered ? Math.max(1, task.attempt - 1) : task.attempt, realtimeMs',
      },
    ],
    seed: 7,
  },
  {
    name: 'a handler whose lease is over has a result all the same',
    patches: [
      {
        file: 'client/handler-runner.js',
        from: 'this.tellError(reason, incoming, task.attempt); this.outcomes.attemptFailed(task, reason.message, null);',
        to: 'this.tellError(reason, incoming, task.attempt); task.publishes = null; this.outcomes.succeed(task, undefined);',
      },
    ],
    seed: 7,
  },
  {
    name: 'a pause is as long as chance says',
    patches: [
      {
        file: 'client/retry.js',
        from: 'full * (1 - chance / 2) : full',
        to: 'full * (1 - chance / 2) : full * (1 - chance)',
      },
    ],
    seed: 2,
  },
  {
    name: 'who sends again is told of a duplicate and not remembered',
    patches: [
      {
        file: 'broker/sender-receipts.js',
        from: 'this.notes.put(namespaces.askers, noteKey, JSON.stringify(askers), nowMs, logged);',
        to: '',
      },
    ],
    seed: 17,
  },
  {
    name: 'who asks once more is remembered as long as the broker runs',
    patches: [
      {
        file: 'broker/sender-receipts.js',
        from: 'JSON.stringify(askers), nowMs, logged);',
        to: 'JSON.stringify(askers), nowMs, false);',
      },
    ],
    seed: 99,
  },
  {
    name: 'what became of a message is not kept for who sends it later',
    patches: [
      {
        file: 'broker/sender-receipts.js',
        from: 'this.notes.put(namespaces.outcomes, noteKey, JSON.stringify(keptOf(properties, word, answer)), nowMs, logged);',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'an answer does not say whose idempotency key it is about',
    patches: [
      {
        file: 'client/copies.js',
        from: '...(idempotencyKey === undefined ? {} : { [headerNames.idempotencyKey]: idempotencyKey }),',
        to: '',
      },
    ],
    seed: 1,
  },
  {
    name: 'an inbox acknowledges an answer before it was told',
    patches: [
      {
        file: 'client/inbox.js',
        from: 'if (isTold) this.acknowledge({ tag, answer });',
        to: 'if (isTold) return;',
      },
      {
        file: 'client/inbox.js',
        from: '}); tellReceipt(receipt, answer); }',
        to: '}); tellReceipt(receipt, answer); this.acknowledge({ tag, answer }); }',
      },
    ],
    seed: 358,
  },
  {
    name: 'an inbox acknowledges what is handed to its reader',
    patches: [
      {
        file: 'client/inbox-reader.js',
        from: 'if (this.current !== null) this.inbox?.acknowledge(this.current);',
        to: '',
      },
      {
        file: 'client/inbox-reader.js',
        from: 'if (this.current !== null) return { done: false',
        to: 'if (this.current !== null) inbox.acknowledge(this.current); if (this.current !== null) return { done: false',
      },
    ],
    seed: 273,
  },
  {
    name: 'an inbox closes before what is due in it was told',
    patches: [{ file: 'client/receipts.js', from: 'this.runCalls(); this.end(', to: 'this.end(' }],
    seed: 105,
  },
  {
    name: 'who waits for an inbox to open is not told that the bus has ended',
    patches: [
      { file: 'client/receipts.js', from: '[...this.inboxes.values(), ...this.unopened]', to: 'this.inboxes.values()' },
    ],
    seed: 159,
  },
  {
    name: 'a receiver answers, and its broker does so too',
    patches: [
      { file: 'client/receiver.js', from: 'this.parts.isLeveret ? answersItself : emptyTable', to: 'emptyTable' },
    ],
    seed: 3,
  },
  {
    name: 'what cannot be committed together is acknowledged all the same',
    patches: [
      {
        file: 'client/committer.js',
        from: 'unit.pushTags(acks); for (const message of unit.publishes ?? []) {',
        to: 'unit.pushTags(acks); for (const message of this.flying.length > 3 ? [] : (unit.publishes ?? [])) {',
      },
    ],
    seed: 2,
  },
]

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'leveret-planted-'))
const seedsToSearch = Number(process.env['PLANTED_SEEDS'] ?? '0')
// The search ends at the first that finds the bug, so these are only for the day after a change.
const neighbours = 150
const atOnce = 2

// There are as many copies of the build as bugs.
afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000)

describe('the simulator', () => {
  const limit = makeLimit(atOnce)

  it.concurrent.each([...bugs, ...apiBugs.map((bug): Bug => ({ ...bug, api: true }))])(
    'finds out when $name',
    { timeout: 1_800_000 },
    (bug) =>
      limit(async () => {
        const dist = plant(bug, 'seeds')
        const isSearch = seedsToSearch > 0
        const start = [featureSeedsMin, usualSeedsMax + 1].find((seed) => bug.seed >= seed) ?? 1
        const kind = bug.api === true ? ['--api'] : bug.letters === true ? ['--letters'] : []
        const found = await search(dist, isSearch ? start : bug.seed, isSearch ? seedsToSearch : neighbours, kind)
        const [first] = found.violations
        if (isSearch)
          console.log(`${bug.name}: seed ${first?.seed ?? '-'}, ${first?.violation.slice(0, 200) ?? 'NOT FOUND'}`)
        expect(found.violations.length, `${bug.name}: not found by ${found.seeds} seeds`).toBeGreaterThan(0)
      }),
  )
})

describe('trying every crash of a short workload', () => {
  const limit = makeLimit(atOnce)
  const named = seedsToSearch > 0 ? bugs : bugs.filter(({ name }) => name in foundByExhaustion)

  it('has the workloads for bugs that exist', () => {
    expect(named.length).toBeGreaterThanOrEqual(Object.keys(foundByExhaustion).length)
  })

  it.concurrent.each(named)('finds out, without a seed, when $name', { timeout: 600_000 }, (bug) =>
    limit(async () => {
      const { violations } = await exhaust(plant(bug, 'crashes'), foundByExhaustion[bug.name])
      if (seedsToSearch > 0) console.log(`${bug.name}: ${violations[0]?.slice(0, 200) ?? 'not found by exhaustion'}`)
      else expect(violations.length).toBe(1)
    }),
  )
})

/** Runs at most so many at once: each takes a processor. */
function makeLimit(atOnce: number): (run: () => Promise<void>) => Promise<void> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (run) => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    running++
    try {
      await run()
    } finally {
      running--
      waiting.shift()?.()
    }
  }
}

interface Found {
  readonly seeds: number
  readonly violations: readonly { readonly seed: number; readonly violation: string }[]
}

/** A build with the bug in it. */
function plant(bug: Bug, purpose: string): string {
  const dist = join(folder, `${purpose}-${bug.name.replaceAll(/\W+/g, '-')}`)
  const original = process.env['PLANTED_DIST'] ?? join(root, 'dist')
  cpSync(original, dist, { recursive: true, filter: (path) => !/\.(map|d\.ts)$/.test(path) })
  for (const patch of bug.patches) apply(dist, patch)
  return dist
}

function apply(dist: string, { file, from, to }: Patch): void {
  const path = join(dist, file)
  const source = readFileSync(path, 'utf8')
  const words = from.split(/\s+/).map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  const pattern = new RegExp(words.join(String.raw`\s+`), 'g')
  expect(source.match(pattern)?.length ?? 0, `${file} has once: ${from}`).toBe(1)
  writeFileSync(
    path,
    source.replace(pattern, () => to),
  )
}

/** Runs seeds of the build in `dist` until one of them finds something. */
async function search(dist: string, seed: number, seeds: number, kind: readonly string[]): Promise<Found> {
  const range = ['--seed', `${seed}`, '--seeds', `${seeds}`]
  return (await run('scripts/sim.mjs', dist, [...range, ...kind])) as Found
}

/** Tries the crashes of one workload, or of all, until one of them finds something. */
async function exhaust(dist: string, workload: string | undefined): Promise<{ violations: readonly string[] }> {
  const parameters = workload === undefined ? [] : ['--workload', workload]
  return (await run('scripts/exhaust.mjs', dist, ['--once', ...parameters])) as { violations: readonly string[] }
}

async function run(script: string, dist: string, more: readonly string[]): Promise<unknown> {
  const parameters = [join(root, script), '--dist', dist, '--stop', '--json', ...more]
  try {
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: root, maxBuffer: 1e8 })
    return JSON.parse(stdout)
  } catch (error) {
    return JSON.parse((error as { stdout: string }).stdout)
  }
}
