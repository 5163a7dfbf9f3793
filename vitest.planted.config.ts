// Bugs that are put into a copy of the build, and the simulated histories that find them: whether the simulator can find anything.
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/planted-bugs/planted-bugs.test.ts'],
    pool: 'forks',
    maxWorkers: '100%',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})

export default config
