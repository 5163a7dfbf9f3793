// Bugs of the log and the store, most of which break what a crash may do.
import type { Bug } from './bug.ts'

const log = 'log/segmented-log.js'
const flight = 'log/batch-flight.js'
const store = 'store/log-store.js'
const settlements = 'store/settlement-writer.js'

export const storageBugs: readonly Bug[] = [
  {
    name: 'fdatasync is skipped',
    patches: [{ file: flight, from: 'await file.sync(); if (isNew)', to: 'if (isNew)' }],
    seed: 1,
  },
  {
    name: 'a frame is called durable before its sync is done',
    patches: [
      {
        file: flight,
        from: 'await file.sync(); if (isNew)',
        to: 'this.log.durableLsnNow = batch.lsn; this.log.events.durable(batch.lsn); await file.sync(); if (isNew)',
      },
    ],
    seed: 1,
  },
  {
    name: 'a failed sync is tried again',
    patches: [
      {
        file: flight,
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
        file: flight,
        from: 'if (isSystemError(error)) this.stop(batch, error);',
        to: 'if (isSystemError(error)) this.land(batch, true);',
      },
    ],
    seed: 11,
  },
  {
    name: 'the directory is not synced after a segment was created',
    patches: [{ file: flight, from: 'if (isNew) await disk.syncDirectory(this.set.directory);', to: '' }],
    seed: 1,
  },
  {
    name: 'segments are deleted before the frame that gives them up is durable',
    patches: [
      {
        file: log,
        from: 'this.flight.begin(batch); } /**',
        to: 'this.set.delete(batch.retiring); batch.retiring = []; this.flight.begin(batch); } /**',
      },
    ],
    seed: 35,
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
        file: settlements,
        from: 'writeOf(index) { if (index.settled.isEmpty) return;',
        to: 'writeOf(index) { if (this.log.openRecords > 0) index.settled.clear(); if (index.settled.isEmpty) return;',
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
    name: 'the acks of a transaction are in the frame after its publishes',
    patches: [
      {
        file: store,
        from: 'this.settlements.write(); this.wanted = false;',
        to: 'if (log.openRecords === 0 || this.closing) this.settlements.write(); this.wanted = false;',
      },
    ],
    seed: 1,
  },
  {
    name: 'an idle log takes the number that acks were promised',
    patches: [{ file: 'log/idle-proof.js', from: 'if (log.expectsRecords)', to: 'if (false)' }],
    seed: 629,
  },
  {
    name: 'settlements wait until something else is stored',
    patches: [
      {
        file: settlements,
        from: 'this.cancelTimer ??= this.clock.setTimer(limits.ackDelayMs, () => this.waited());',
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
      {
        file: flight,
        from: 'batch.move(this.set.planRefuge(batch.lsn), framesStart);',
        to: '{ batch.segment = this.set.planRefuge(batch.lsn); batch.offset = framesStart; }',
      },
    ],
    seed: 94,
  },
  {
    name: 'publishers stay blocked when the disk takes writes again',
    patches: [{ file: log, from: 'if (wasStalled) this.events.resumed();', to: '' }],
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
    patches: [
      { file: 'store/dead-segments.js', from: 'segment.live > 0 || !segment.sealed ||', to: 'segment.live > 0 ||' },
    ],
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
    patches: [{ file: flight, from: 'await this.background.settle(); if (this.isOver', to: 'if (this.isOver' }],
    seed: 5005,
  },
  {
    name: 'segments go with a frame that is synced later',
    patches: [{ file: flight, from: '|| batch.retiring.length > 0 ||', to: '||' }],
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
    patches: [{ file: log, from: 'home === this.set.tail && this.background !== null ?', to: 'false ?' }],
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
    name: 'recovery takes what is hidden for ready',
    patches: [
      {
        file: 'store/replay.js',
        from: 'lanes.recovering(priority, isDelayed)',
        to: 'lanes.recovering(priority, false)',
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
]
