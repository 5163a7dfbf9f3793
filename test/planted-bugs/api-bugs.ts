// Bugs that only histories of the typed API find.
import type { Bug } from './bug.ts'

const outcomes = 'client/outcomes.js'

/** What publishes beside the commit, as whoever does not know of it would. */
const publishBeside = (message: string): string =>
  `this.parts.sender.publish(${message}, false, { what: '', bytes: 0, id: '', unroutable: false, stored() {}, refused() {} });`

/** What only the client can do wrong, or its users see, in histories of the typed API (src/testing/histories/api). */
export const apiBugs: readonly Bug[] = [
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
        from: 'task.publish(retryCopy(task.message, task.allProperties(), this.queueName, this.failureOf(task, text), delayMs));',
        to: publishBeside(
          'retryCopy(task.message, task.allProperties(), this.queueName, this.failureOf(task, text), delayMs)',
        ),
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
    seed: 38,
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
    patches: [{ file: 'client/receipts.js', from: 'this.runCalls(); this.finish(', to: 'this.finish(' }],
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
  {
    name: 'what a schedule published is noted a little later',
    patches: [
      {
        file: 'broker/schedules.js',
        from: 'this.note(progressKey(name, schedule.name), JSON.stringify(schedule.progress));',
        to: 'this.clock.setTimer(1, () => this.note(progressKey(name, schedule.name), JSON.stringify(schedule.progress)));',
      },
    ],
    seed: 146,
  },
  {
    name: 'what a schedule publishes comes a little later than what is noted',
    patches: [
      {
        file: 'broker/schedules.js',
        from: 'publisher.publish(host, exchange, schedule.message(dueMs, messageId), null);',
        to: 'this.clock.setTimer(2, () => publisher.publish(host, exchange, schedule.message(dueMs, messageId), null));',
      },
    ],
    seed: 146,
  },
]
