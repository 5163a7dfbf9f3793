// Has many conversations with one broker, some at a time, and gives their transcripts.
import { type Conversation, Talk } from './talk.ts'

export interface Outcome {
  readonly transcript: readonly string[]
  /** What went wrong with the conversation itself; null, if nothing. */
  readonly error: string | null
}

/** By name; so many at a time. */
export async function converse(
  port: number,
  conversations: readonly Conversation[],
  togetherMax = 8,
): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>()
  let next = 0
  const work = async (): Promise<void> => {
    while (next < conversations.length) {
      const number = next++
      const conversation = conversations[number] as Conversation
      outcomes.set(conversation.name, await one(port, number, conversation))
    }
  }
  await Promise.all(Array.from({ length: togetherMax }, work))
  return outcomes
}

async function one(port: number, number: number, { run, isStrict = false }: Conversation): Promise<Outcome> {
  const talk = new Talk(port, `c${number}`, isStrict)
  let error: string | null = null
  try {
    await run(talk)
    await talk.settle()
  } catch (problem) {
    talk.hearAll()
    error = String(problem instanceof Error ? (problem.stack ?? problem.message) : problem)
  }
  try {
    await talk.clear()
  } catch (problem) {
    error ??= `clearing up: ${String(problem)}`
  }
  return { transcript: talk.lines_(), error }
}
