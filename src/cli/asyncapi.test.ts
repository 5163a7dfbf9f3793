// The command on real files, TypeScript among them, which plain Node 20 cannot load.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import type { AsyncApiDocument } from '../asyncapi/async-api.ts'
import { defineEvent, defineQueue } from '../client/contract.ts'
import { contractsIn } from './contract-file.ts'

let folder: string

beforeAll(() => {
  folder = temporaryFolder('asyncapi')
  mkdirSync(join(folder, 'node_modules'))
  // As npm would install them.
  const root = fileURLToPath(new URL('../..', import.meta.url))
  symlinkSync(root, join(folder, 'node_modules/leveret'))
  symlinkSync(join(root, 'node_modules/zod'), join(folder, 'node_modules/zod'))
})

afterAll(() => removeFolder(folder))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

async function documentOf(args: readonly string[]): Promise<AsyncApiDocument> {
  const { code, stdout, stderr } = await runLeveret(['asyncapi', ...args])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as AsyncApiDocument
}

const typescript = `
import { defineCall, defineEvent, defineQueue, type QueueContract } from 'leveret'
import { z } from 'zod'
import { sku } from './parts.ts'

enum Format { Png = 'png' }

const input = z.object({ file: z.string(), format: z.enum(Format).optional() })
export const resize = defineQueue('resize', { input, result: z.object({ bytes: z.number() }) })
export const events = [defineEvent('image.resized', z.object({ file: z.string() }))] as const
export const calls = { price: defineCall('price', { input: sku, result: z.number() }), again: resize satisfies QueueContract<never> }
export const other = { name: 'no contract', limit: 3 }
export default resize
`

describe('leveret asyncapi', () => {
  it('prints the document of a TypeScript file, with all that it exports', async () => {
    file('parts.ts', "import { z } from 'zod'\nexport const sku = z.object({ sku: z.string() })\n")
    const path = file('contracts.ts', typescript)
    const document = await documentOf([path, '--title', 'Images', '--version', '1.2.3', '--server', 'amqp://localhost'])
    expect(document).toMatchObject({
      asyncapi: '3.0.0',
      info: { title: 'Images', version: '1.2.3' },
      servers: { default: { host: 'localhost:5672' } },
      components: { schemas: { resize: { properties: { format: { enum: ['png'] } } } } },
    })
    const channels = ['image.resized', 'price', 'price.reply', 'resize', 'resize.reply']
    expect(Object.keys(document.channels).sort()).toEqual(channels)
  })

  it('takes plain modules, title and version from package.json, and names of servers', async () => {
    file('package.json', JSON.stringify({ name: 'images', version: '4.5.6', type: 'module' }))
    const path = file(
      'contracts.mjs',
      "import { defineQueue } from 'leveret'\nexport const work = defineQueue('work')\n",
    )
    const servers = ['--server', 'production=amqps://u:p@mq.example.com', '--server', 'amqp://localhost']
    const document = await documentOf([path, '--json', ...servers])
    expect(document.info).toEqual({ title: 'images', version: '4.5.6' })
    expect(Object.keys(document.servers ?? {})).toEqual(['production', 'server-2'])
    const { stdout } = await runLeveret(['asyncapi', path, '--json'])
    expect(stdout.split('\n')).toHaveLength(2)
  })

  it('prints nothing but the document to standard output, whatever the file prints', async () => {
    const loud = `
import { defineQueue } from 'leveret'
console.log('one')
console.table(['two'])
process.stdout.write('three\\n')
process.on('exit', () => console.log('four'))
export const work = defineQueue('work')
`
    for (const name of ['loud.ts', 'loud.mjs']) {
      const { code, stdout, stderr } = await runLeveret(['asyncapi', file(name, loud)])
      expect(code).toBe(0)
      expect((JSON.parse(stdout) as AsyncApiDocument).asyncapi).toBe('3.0.0')
      expect(stderr).toMatch(/^one\n[^]*two[^]*three\nfour\n$/)
    }
  })

  it('ends when the document is written to its last byte, although the file began what does not end', async () => {
    const lasting = `
import { defineQueue } from 'leveret'
setInterval(() => {}, 1_000)
export const all = Array.from({ length: 2_000 }, (_, at) => defineQueue('queue-' + at))
`
    const { code, stdout } = await runLeveret(['asyncapi', file('lasting.ts', lasting)])
    expect(code).toBe(0)
    expect(Object.keys((JSON.parse(stdout) as AsyncApiDocument).channels)).toHaveLength(2_000)
    const nothing = await runLeveret(['asyncapi', file('nothing.mjs', 'setInterval(() => {}, 1_000)\n')])
    expect(nothing.code).toBe(2)
    expect(nothing.stderr).toContain('exports no contracts')
  })

  it('says in one line what is wrong with the file, and ends with status 2', async () => {
    const twice = "import { defineQueue } from 'leveret'\nexport const all = [defineQueue('a'), defineQueue('a')]\n"
    for (const [path, words] of [
      [join(folder, 'nope.ts'), 'there is no file'],
      [folder, 'cannot be loaded: '],
      [file('empty.ts', 'export const a: number = 1\n'), 'exports no contracts'],
      [file('twice.ts', twice), "two queues or calls are called 'a'"],
      [file('throws.ts', "throw new Error('no\\nluck')\n"), 'cannot be loaded: no luck'],
      [file('broken.mjs', 'export const =\n'), 'cannot be loaded: '],
      [file('unknown.ts', "import 'not-installed'\n"), 'not-installed'],
    ] as const) {
      const { code, stdout, stderr } = await runLeveret(['asyncapi', path])
      expect({ code, stdout }, words).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^leveret: E_BAD_OPTION: [^\n]+\n$/)
      expect(stderr).toContain(words)
    }
  })

  it('says which server it cannot use', async () => {
    const path = file('servers.mjs', "import { defineQueue } from 'leveret'\nexport const work = defineQueue('work')\n")
    const bad = await runLeveret(['asyncapi', path, '--server', 'http://x'])
    expect(bad.stderr).toContain("E_BAD_URL: cannot use the address 'http://x'")
    const twice = await runLeveret(['asyncapi', path, '--server', 'a=amqp://x', '--server', 'a=amqp://y'])
    expect(twice.stderr).toContain("--server: two are called 'a'")
  })
})

describe('contractsIn', () => {
  it('finds contracts one level deep, each once, and nothing else', () => {
    const resize = defineQueue('resize')
    const resized = defineEvent('image.resized')
    const deep = defineQueue('deep')
    const exported = {
      resize,
      list: [resize, resized, null, 1],
      nested: { more: { deep } },
      nothing: null,
      text: 'resize',
      like: { kind: 'queue', name: 'like' },
      call: () => deep,
    }
    expect(contractsIn(exported)).toEqual([resize, resized])
  })
})
