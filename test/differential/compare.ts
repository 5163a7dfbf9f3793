// Holds two transcripts of one conversation against each other, and what differs against the list of allowed differences.

/** A difference that is meant in one conversation, line by line. */
export interface Difference {
  readonly reason: string
  /** The name of the conversation. */
  readonly conversation: string
  readonly rabbitmq: readonly string[]
  readonly leveret: readonly string[]
}

interface Hunk {
  readonly rabbitmq: string[]
  readonly leveret: string[]
}

export class Allowed {
  private readonly differences: readonly Difference[]
  private readonly used: Set<Difference> = new Set()

  constructor(differences: readonly Difference[]) {
    this.differences = differences
  }

  /** What differs and should not, as text; empty if all is well. */
  findings(conversation: string, rabbitmq: readonly string[], leveret: readonly string[]): string {
    const hunks = hunksOf(rabbitmq, leveret)
    const findings = hunks.filter((hunk) => !this.isAllowed(conversation, hunk))
    return findings.length === 0 ? '' : unified(rabbitmq, leveret)
  }

  /** What is allowed and did not occur. */
  unused(): string[] {
    return this.differences
      .filter((one) => !this.used.has(one))
      .map(({ conversation, reason }) => `${conversation}: ${reason}`)
  }

  private isAllowed(conversation: string, hunk: Hunk): boolean {
    const difference = this.differences.find((one) => one.conversation === conversation && same(one, hunk))
    if (difference !== undefined) this.used.add(difference)
    return difference !== undefined
  }
}

function same(one: Difference, two: Hunk): boolean {
  return one.rabbitmq.join('\n') === two.rabbitmq.join('\n') && one.leveret.join('\n') === two.leveret.join('\n')
}

interface Step {
  readonly mark: ' ' | '-' | '+'
  readonly line: string
}

function hunksOf(rabbitmq: readonly string[], leveret: readonly string[]): Hunk[] {
  const hunks: Hunk[] = []
  let open: Hunk | null = null
  for (const { mark, line } of steps(rabbitmq, leveret)) {
    if (mark === ' ') {
      open = null
      continue
    }
    if (open === null) {
      open = { rabbitmq: [], leveret: [] }
      hunks.push(open)
    }
    if (mark === '-') open.rabbitmq.push(line)
    else open.leveret.push(line)
  }
  return hunks
}

/** Both as one text: `-` is RabbitMQ's, `+` is Leveret's. */
function unified(rabbitmq: readonly string[], leveret: readonly string[]): string {
  return steps(rabbitmq, leveret)
    .map(({ mark, line }) => `${mark} ${line}`)
    .join('\n')
}

/** The shortest way from one to the other, by the longest common subsequence. */
function steps(one: readonly string[], two: readonly string[]): Step[] {
  const lengths = Array.from({ length: one.length + 1 }, () => new Array<number>(two.length + 1).fill(0))
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = two.length - 1; j >= 0; j--) {
      const length = one[i] === two[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
      ;(lengths[i] as number[])[j] = length
    }
  }
  const result: Step[] = []
  let i = 0
  let j = 0
  while (i < one.length || j < two.length) {
    if (i < one.length && j < two.length && one[i] === two[j]) {
      result.push({ mark: ' ', line: one[i++] as string })
      j++
    } else if (i < one.length && (j === two.length || at(i + 1, j) >= at(i, j + 1))) {
      result.push({ mark: '-', line: one[i++] as string })
    } else result.push({ mark: '+', line: two[j++] as string })
  }
  return result
}
