// Links between the pages lead somewhere: to a file that is there, and to a heading that it has.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))

function pagesUnder(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`)
}

const top = readdirSync(root).filter((name) => name.endsWith('.md'))
const pages = [...top, ...['docs', 'examples', 'bench'].flatMap(pagesUnder)]

/** As GitHub makes them: letters, digits and hyphens of the heading. */
function anchorsOf(path: string): string[] {
  return readFileSync(join(root, path), 'utf8')
    .split('\n')
    .flatMap((line) => /^#+ (.*)$/.exec(line)?.[1] ?? [])
    .map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, ''))
    .map((heading) => heading.trim().replaceAll(' ', '-'))
}

function isBroken(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : normalize(join(dirname(page), path))
  if (!existsSync(join(root, target))) return true
  return anchor !== undefined && !anchorsOf(target).includes(anchor)
}

it.each(pages)('%s has no broken link', (page) => {
  const links = [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, link]) => link as string,
  )
  const own = links.filter((link) => !/^[a-z]+:/.test(link))
  expect(own.filter((link) => isBroken(page, link))).toEqual([])
})
