// Bugs that only histories of events, calls and families find (src/testing/histories/patterns).
import type { Bug } from './bug.ts'

/** What the other histories do not use: subscribers, calls, and parents with children. */
export const patternBugs: readonly Bug[] = [
  {
    name: "a durable subscriber's queue is declared transient",
    patches: [
      {
        file: 'client/subscriptions.js',
        from: 'arguments: { [subscriberPatternArgument]: pattern },',
        to: "storage: 'memory', arguments: { [subscriberPatternArgument]: pattern },",
      },
    ],
    seed: 1,
  },
  {
    name: 'the binding of a durable queue is not durable',
    patches: [
      {
        file: 'broker/topology.js',
        from: 'const durable = source.durable && destination.durable;',
        to: 'const durable = false;',
      },
    ],
    seed: 19,
  },
  {
    name: 'an event is not persistent',
    patches: [
      {
        file: 'client/event-outlet.js',
        from: 'new Composer(address, true, parts.ids',
        to: 'new Composer(address, false, parts.ids',
      },
    ],
    seed: 1,
  },
  {
    name: 'a loop acknowledges an event when it gets it',
    patches: [
      { file: 'client/event-iterator.js', from: 'await current?.ack();', to: '' },
      {
        file: 'client/event-iterator.js',
        from: 'this.current = next.value;',
        to: 'this.current = next.value; await next.value.ack();',
      },
    ],
    seed: 7,
  },
  {
    name: 'who listens to an event is forgotten when the next one comes to listen',
    patches: [
      {
        file: 'client/listeners.js',
        from: 'binding.listeners.push(listener);',
        to: 'binding.listeners.length = 0; binding.listeners.push(listener);',
      },
    ],
    seed: 4,
  },
  {
    name: 'a parent is passed on one answer early',
    patches: [
      {
        file: 'broker/gathering.js',
        from: 'index.readyCount <= count',
        to: 'index.readyCount < Math.max(2, count)',
      },
    ],
    seed: 1,
  },
  {
    name: 'the answers for a parent go before it is committed',
    patches: [
      {
        file: 'client/handler-runner.js',
        from: 'this.countTime(task); this.outcomes.succeed(task, incoming, value);',
        to: `this.countTime(task);
          if (task.extra?.gatherQueue) this.forgetChildren(task.extra.gatherQueue);
          this.outcomes.succeed(task, incoming, value);`,
      },
    ],
    seed: 77,
  },
  {
    name: 'a parent is told of its children in the order in which they ended',
    patches: [
      {
        file: 'client/children.js',
        from: 'outcomes[outcome.index] = outcome.outcome;',
        to: 'outcomes.push(outcome.outcome);',
      },
    ],
    seed: 1,
  },
  {
    name: 'a family is stored one message after the other',
    patches: [
      {
        file: 'client/children.js',
        from: 'await this.line.commit(messages);',
        to: 'for (const message of messages) await this.line.commit([message]);',
      },
    ],
    seed: 6,
  },
  {
    name: 'who waits for a family to be stored is not told that the connection is lost',
    patches: [{ file: 'client/bus.js', from: 'this.families.end(error);', to: '' }],
    seed: 6,
  },
  {
    name: 'the request of a call that came before is answered again',
    patches: [
      {
        file: 'client/handler-runner.js',
        from: 'if (task.redelivered && this.outcomes.isAtMostOnce(task))',
        to: 'if (task.redelivered && this.outcomes.isAtMostOnce(task) && task.message === null)',
      },
    ],
    seed: 5,
  },
  {
    name: 'a call that failed is tried again, although it is not durable',
    patches: [
      {
        file: 'client/outcomes.js',
        from: 'task.attempt >= retry.attempts || this.isAtMostOnce(task)',
        to: 'task.attempt >= retry.attempts',
      },
    ],
    seed: 6,
  },
  {
    name: 'the answer of a call is sent beside the commit',
    patches: [
      {
        file: 'client/outcomes.js',
        from: 'task.publish(resultAnswer(properties, this.queueName, body));',
        to: `const answer = resultAnswer(properties, this.queueName, body);
          if (!this.settings.isCall) task.publish(answer);
          else this.parts.sender.publish(answer, false, { what: '', bytes: 0, id: '', unroutable: false, stored() {}, refused() {} });`,
      },
    ],
    seed: 28,
  },
  {
    name: 'a durable call is sent like any other',
    patches: [
      {
        file: 'client/calls.js',
        from: 'const outlet = durable ? persistent : transient;',
        to: 'const outlet = transient;',
      },
    ],
    seed: 5,
  },
]
