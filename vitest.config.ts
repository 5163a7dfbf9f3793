// The quick suites: unit tests beside the sources, and what crosses folders in test/. They use dist/, so build first.
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
    maxWorkers: '100%',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
})

export default config
