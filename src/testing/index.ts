/**
 * `leveret/testing`: a broker for the tests of code that uses Leveret, in virtual time and with faults on demand. It needs no
 * test runner. How to use it: docs/testing.md.
 */
export type { Fault, FaultOptions, Faults, ReorderOptions } from './kit/faults.ts'
export { createTestBroker, type TestBroker, type TestBrokerOptions } from './kit/test-broker.ts'
