// Who may import whom. This is the layer table of ARCHITECTURE.md; arrows point downward only. Tests are exempt.

const layers = {
  lib: [],
  model: ['lib'],
  platform: ['lib'],
  amqp: ['model', 'lib'],
  log: ['platform', 'lib'],
  store: ['log', 'model', 'platform', 'lib'],
  broker: ['store', 'model', 'platform', 'lib'],
  server: ['amqp', 'model', 'platform', 'lib'],
  client: ['model', 'platform', 'lib', 'flow', 'amqp'],
  flow: ['lib', 'model'],
  http: ['flow', 'broker', 'model', 'platform', 'lib'],
  asyncapi: ['client', 'amqp', 'model', 'lib'],
}

const test = String.raw`\.test\.ts$`
const amqpDriver = [String.raw`^src/client/amqp-driver[^/]*\.ts$`, '^src/client/amqp-driver/']
const npm = ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-bundled', 'npm-no-pkg', 'npm-unknown', 'unknown']

const layerRules = Object.entries(layers).map(([layer, below]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${below.length === 0 ? 'nothing else in src' : `only ${below.join(', ')}`}.`,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: test },
  to: { path: '^src/', pathNot: [`^src/(${[layer, ...below].join('|')})/`, test] },
}))

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'known-folder',
      comment:
        'Every file of src is index.ts, pattern-engine.ts or cron-engine.ts or stands in a folder of the layer table.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          `^src/(${Object.keys(layers).join('|')}|cli|testing)/`,
          String.raw`^src/(index|pattern-engine|cron-engine)(\.test)?\.ts$`,
        ],
      },
      to: {},
    },
    {
      name: 'client-amqp-in-driver-only',
      comment: 'In src/client only the AMQP driver knows the wire (amqp-driver*.ts or the folder amqp-driver/).',
      severity: 'error',
      from: { path: '^src/client/', pathNot: [...amqpDriver, test] },
      to: { path: '^src/amqp/' },
    },
    {
      name: 'broker-sees-store-interface-only',
      comment:
        'The broker knows the Store interface and its data (store, record*, entry, queue-index, resident-memory), never a concrete store.',
      severity: 'error',
      from: { path: '^src/broker/', pathNot: test },
      to: {
        path: '^src/store/',
        pathNot: [String.raw`^src/store/store\.ts$`, '^src/store/(record|entry|queue-index|resident-memory)'],
      },
    },
    {
      name: 'testing-is-for-cli-and-tests',
      comment: 'Nothing in src but cli (and tests) imports src/testing.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(cli|testing)/', test] },
      to: { path: '^src/testing/' },
    },
    {
      name: 'no-import-of-tests',
      comment: 'Shipped code imports no test file and nothing outside src.',
      severity: 'error',
      from: { path: '^src/', pathNot: test },
      to: { path: [test, '^(test|bench|scripts|dashboard|examples)/'] },
    },
    {
      name: 'no-cycles',
      comment: 'No cycles, not even of types.',
      severity: 'error',
      from: { path: '^src/', pathNot: test },
      to: { circular: true },
    },
    {
      name: 'npm-in-cli-only',
      comment: 'The embedded library imports no third-party package; it must embed everywhere.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', String.raw`^src/(pattern|cron)-engine\.ts$`, test] },
      to: { dependencyTypes: npm },
    },
    {
      name: 'pattern-engine-loads-re2js',
      comment: 'pattern-engine.ts loads re2js when a pattern needs it, not before.',
      severity: 'error',
      from: { path: String.raw`^src/pattern-engine\.ts$` },
      to: { dependencyTypes: npm, dynamic: false },
    },
    {
      name: 'cron-engine-loads-croner',
      comment: 'cron-engine.ts loads croner when a schedule needs it, not before.',
      severity: 'error',
      from: { path: String.raw`^src/cron-engine\.ts$` },
      to: { dependencyTypes: npm, dynamic: false },
    },
    {
      name: 'cli-imports-commander-only',
      comment: 'The packages of the command line are commander, and jiti for contracts in TypeScript.',
      severity: 'error',
      from: { path: '^src/cli/', pathNot: test },
      to: { dependencyTypes: npm, pathNot: '(^|/)node_modules/(commander|jiti)/' },
    },
    {
      name: 'jiti-for-contracts-alone',
      comment: 'contract-file.ts loads jiti when a file in TypeScript is named, not before.',
      severity: 'error',
      from: { path: '^src/', pathNot: test },
      to: { path: '(^|/)node_modules/jiti/', dynamic: false },
    },
    {
      name: 'node-builtins-through-platform',
      comment:
        'Only src/platform touches Node (elsewhere: buffer, assert; zlib in lib/crc32; http in src/http; any in src/cli).',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(platform|cli)/', test] },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(buffer|assert|assert/strict|zlib|http)$' },
    },
    {
      name: 'zlib-in-crc32-only',
      comment: 'node:zlib is used for its crc32, by lib/crc32.ts alone.',
      severity: 'error',
      from: { path: '^src/', pathNot: [String.raw`^src/lib/crc32\.ts$`, '^src/(platform|cli)/', test] },
      to: { dependencyTypes: ['core'], path: '^(node:)?zlib$' },
    },
    {
      name: 'http-in-http-only',
      comment: 'node:http belongs to src/http.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(http|platform|cli)/', test] },
      to: { dependencyTypes: ['core'], path: '^(node:)?http$' },
    },
    {
      name: 'resolvable',
      comment: 'Every import leads somewhere.',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
}
