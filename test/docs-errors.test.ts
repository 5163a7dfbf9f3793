// docs/errors.md has every code that a user can meet, once, and no other.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { replyCodes } from '../src/model/errors.ts'

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}

/** The members of a union of texts, which is gone at run time. */
function membersOf(path: string, type: string): string[] {
  const [, union = ''] = new RegExp(`type ${type} =\\n((?: +(?:\\||/\\*\\*).*\\n)+)`).exec(read(path)) ?? []
  return [...union.matchAll(/\| '(\w+)'/g)].map(([, code]) => code as string)
}

const page = read('docs/errors.md')
/** Without the blanks that align its tables. */
const plain = page.replaceAll(/ {2,}/g, ' ')
const rows = page.split('\n').flatMap((line) => /^\| (E_\w+) +\|/.exec(line)?.[1] ?? [])

describe('docs/errors.md', () => {
  it('says of each code of the library and of the commands what to do', () => {
    const codes = [
      ...membersOf('src/model/errors.ts', 'LeveretErrorCode'),
      ...membersOf('src/store/folder-error.ts', 'FolderErrorCode'),
      'E_INTERNAL',
    ]
    expect(codes.length).toBeGreaterThan(25)
    expect(rows.toSorted()).toEqual([...new Set(codes)].sort())
  })

  it('has every reply code with its number', () => {
    for (const [code, { number }] of Object.entries(replyCodes)) {
      const patterns = [`${code} (${number})`, `| ${code} | ${number} |`]
      expect(
        patterns.some((one) => plain.includes(one)),
        code,
      ).toBe(true)
    }
  })
})
