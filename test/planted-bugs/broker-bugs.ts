// Bugs of the broker, and of those who simulate it.
import type { Bug } from './bug.ts'

const channel = 'broker/channel.js'
const units = 'broker/channel-units.js'
const exits = 'broker/queue-exits.js'

export const brokerBugs: readonly Bug[] = [
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
    name: 'what may wait a while when it is due may wait from when it was published',
    patches: [{ file: 'broker/queue.js', from: 'expiresAt === 0 ? 0 : expiresAt + hiddenMs', to: 'expiresAt' }],
    seed: 5006,
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
