// The rules of docs/amqp.md: each has a name of its own, and what is said to prove it exists.
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { alarmConversations } from './differential/conversations/alarms.ts'
import { conversations } from './differential/conversations/all.ts'

const root = new URL('../', import.meta.url)
const page = readFileSync(new URL('docs/amqp.md', root), 'utf8')
const conversationNames = [...conversations, ...alarmConversations({ ring: async () => {} })].map(({ name }) => name)

interface Proof {
  /** The path of a test file; null: the conversations. */
  readonly path: string | null
  readonly name: string
}

interface Rule {
  readonly id: string
  readonly proofs: readonly Proof[]
}

function rulesOf(markdown: string): Rule[] {
  const rules: Rule[] = []
  for (const line of markdown.split('\n')) {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    const id = /^`([\w-]+)`$/.exec(cells[1] ?? '')?.[1]
    if (id !== undefined) rules.push({ id, proofs: proofsOf(cells[3] ?? '') })
  }
  return rules
}

function proofsOf(cell: string): Proof[] {
  const proofs: Proof[] = []
  let path: string | null = null
  for (const [, word, file, name] of cell.replaceAll('\\|', '|').matchAll(/(conversations)|`([^`]+)`|“([^”]+)”/g)) {
    if (word !== undefined) path = null
    else if (file !== undefined) path = file
    else if (name !== undefined) proofs.push({ path, name })
  }
  return proofs
}

/** `…` stands for anything. */
function fits(pattern: string, name: string): boolean {
  const parts = pattern.split('…')
  if (!name.startsWith(parts[0] ?? '') || !name.endsWith(parts.at(-1) ?? '')) return false
  return parts.length > 1 || name === pattern
}

function exists({ path, name }: Proof): boolean {
  if (path === null) return conversationNames.some((one) => fits(name, one))
  const url = new URL(path, root)
  if (!existsSync(url)) return false
  const source = readFileSync(url, 'utf8')
  return name.split('…').every((part) => source.includes(part) || source.includes(part.replaceAll("'", "\\'")))
}

const rules = rulesOf(page)

describe('the rules of docs/amqp.md', () => {
  it('are there, each with an id of its own', () => {
    expect(rules.length).toBeGreaterThan(100)
    const ids = rules.map(({ id }) => id)
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([])
  })

  it.each(rules.map((rule): [string, Rule] => [rule.id, rule]))(
    '%s is proved by tests that exist',
    (_id, { proofs }) => {
      expect(proofs).not.toEqual([])
      expect(proofs.filter((proof) => !exists(proof))).toEqual([])
    },
  )

  it('would miss a proof that is not there', () => {
    expect(exists({ path: null, name: 'nobody talks of this' })).toBe(false)
    expect(exists({ path: 'test/tidy.test.ts', name: 'nobody tests this either' })).toBe(false)
    expect(exists({ path: 'test/missing.test.ts', name: '…' })).toBe(false)
    expect(proofsOf('conversations “a”, “b…”; `x.test.ts` “c”')).toEqual([
      { path: null, name: 'a' },
      { path: null, name: 'b…' },
      { path: 'x.test.ts', name: 'c' },
    ])
  })
})
