// Whether the planted bugs can still be planted: the search for them is long, and a suite of its own.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { apiBugs } from './api-bugs.ts'
import { brokerBugs } from './broker-bugs.ts'
import { placesOf } from './bug.ts'
import { patternBugs } from './pattern-bugs.ts'
import { storageBugs } from './storage-bugs.ts'

describe('a planted bug', () => {
  it.each([...storageBugs, ...brokerBugs, ...apiBugs, ...patternBugs])(
    'has one place in the build: $name',
    ({ patches }) => {
      for (const patch of patches) {
        const source = readFileSync(new URL(`../../dist/${patch.file}`, import.meta.url), 'utf8')
        expect(source.match(placesOf(patch))?.length ?? 0, `${patch.file} has once: ${patch.from}`).toBe(1)
      }
    },
  )
})
