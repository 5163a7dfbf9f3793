/** A bug that is planted in a copy of the build: which words of which file of dist/ are put instead of which. */

export interface Patch {
  /** In dist/. */
  readonly file: string
  /** Must occur once; spaces and line breaks in it stand for any. */
  readonly from: string
  readonly to: string
}

export interface Bug {
  readonly name: string
  readonly patches: readonly Patch[]
  /** A seed that finds it. */
  readonly seed: number
  /** It is a seed of a history of letters, of the typed API, or of events, calls and families in that. */
  readonly letters?: true
  readonly api?: true
  readonly patterns?: true
}

/** Where `from` stands in a source. */
export function placesOf({ from }: Patch): RegExp {
  const words = from.split(/\s+/).map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  return new RegExp(words.join(String.raw`\s+`), 'g')
}
