// The quick suites: unit tests beside the sources, and what crosses folders in test/. They use dist/, so build first.
import { availableParallelism } from 'node:os'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: [
      '**/node_modules/**',
      'test/interop-debian/**',
      'test/browser/**',
      'test/planted-bugs/planted-bugs.test.ts',
    ],
    pool: 'forks',
    // A process keeps its modules from file to file: to load them anew for each of 237 files took half of the time. So no test may
    // change what a module keeps, or must change it back.
    isolate: false,
    restoreMocks: true,
    // Some tests wait for a real clock, and another one may have the processor meanwhile.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
})

export default config
