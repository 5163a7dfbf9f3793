// Fenced code blocks of a Markdown text, with the line they begin on: what the documentation promises to its readers.

export interface CodeBlock {
  /** First word of the info string: `ts`, `sh`, `text`, or '' when there is none. */
  readonly language: string
  /** The other words of the info string, such as `no-run`. */
  readonly marks: readonly string[]
  /** Line of the first line of code, counted from 1. */
  readonly line: number
  readonly code: string
}

/** Reads fences as CommonMark does, and throws if one is left open: the rest of the page would silently be code. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: { fence: string; indent: number; info: string; line: number; code: string[] } | null = null
  const lines = markdown.split('\n')
  for (const [index, line] of lines.entries()) {
    const [, indent = '', fence = '', info = ''] = /^([ \t]*)(`{3,}|~{3,})(.*)$/.exec(line) ?? []
    if (open === null) {
      const isFence = fence !== '' && !(fence.startsWith('`') && info.includes('`'))
      if (isFence) open = { fence, indent: indent.length, info: info.trim(), line: index + 2, code: [] }
    } else if (fence.startsWith(open.fence) && info.trim() === '') {
      const [language = '', ...marks] = open.info.split(/\s+/)
      blocks.push({ language, marks, line: open.line, code: open.code.map((text) => `${text}\n`).join('') })
      open = null
    } else {
      const indented = line.length - line.trimStart().length
      open.code.push(line.slice(Math.min(open.indent, indented)))
    }
  }
  if (open !== null) throw new Error(`line ${open.line - 1}: the code block is never closed`)
  return blocks
}
