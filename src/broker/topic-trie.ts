/**
 * Topic patterns as a trie of words: `*` is exactly one word, `#` zero or more, both only as whole words.
 *
 * Matching walks all nodes that are alive after each word, each once, so its cost is bounded by words × nodes whatever
 * the patterns are; a recursive walk would be exponential for `#.#.#`. Still, `#` begins anew at each word: behind it every
 * node of a long pattern can be alive at once, and a hundred such patterns cost a second for one key. So a pattern with many
 * words behind its first `#`, which nobody needs, is not in the trie but matched by itself (model/topic-pattern.ts).
 */
import { TopicPattern } from '../model/topic-pattern.ts'

/** With more words behind the first `#` a pattern is matched by itself. */
const wordsBehindHashMax = 3

/** What a pattern stands for; its routing key is the pattern. */
export interface TopicBinding {
  readonly routingKey: string
  readonly identity: string
}

interface Node<Binding> {
  readonly words: Map<string, Node<Binding>>
  star: Node<Binding> | null
  hash: Node<Binding> | null
  /** A `#` node stays alive whatever the next word is. */
  readonly isHash: boolean
  readonly bindings: Binding[]
  mark: number
}

function makeNode<Binding>(isHash: boolean): Node<Binding> {
  return { words: new Map(), star: null, hash: null, isHash, bindings: [], mark: 0 }
}

export class TopicTrie<Binding extends TopicBinding> {
  private readonly root: Node<Binding> = makeNode(false)
  private generation = 0
  private alive: Node<Binding>[] = []
  private next: Node<Binding>[] = []
  /** By identity: patterns that are not in the trie. */
  private readonly steep: Map<string, { readonly binding: Binding; readonly pattern: TopicPattern }> = new Map()
  /** Nodes looked at since the beginning, for whoever wants to know what matching costs. */
  nodesVisited = 0

  add(binding: Binding): void {
    const words = splitPattern(binding.routingKey)
    if (isSteep(words)) {
      this.steep.set(binding.identity, { binding, pattern: new TopicPattern(words) })
      return
    }
    let node = this.root
    for (const word of words) node = this.child(node, word)
    node.bindings.push(binding)
  }

  remove(binding: Binding): void {
    if (this.steep.delete(binding.identity)) return
    const path: { node: Node<Binding>; word: string }[] = []
    let node = this.root
    for (const word of splitPattern(binding.routingKey)) {
      path.push({ node, word })
      node = this.child(node, word)
    }
    const at = node.bindings.findIndex((other) => other.identity === binding.identity)
    if (at >= 0) node.bindings.splice(at, 1)
    for (let step = path.pop(); step !== undefined && isEmpty(node); step = path.pop()) {
      if (step.word === '#') step.node.hash = null
      else if (step.word === '*') step.node.star = null
      else step.node.words.delete(step.word)
      node = step.node
    }
  }

  /** Calls back for each binding whose pattern matches. */
  match(routingKey: string, visit: (binding: Binding) => void): void {
    this.alive.length = 0
    this.generation++
    this.enter(this.alive, this.root)
    if (routingKey !== '') {
      let start = 0
      for (;;) {
        const dot = routingKey.indexOf('.', start)
        this.step(dot < 0 ? routingKey.slice(start) : routingKey.slice(start, dot))
        if (dot < 0) break
        start = dot + 1
      }
    }
    for (const node of this.alive) for (const binding of node.bindings) visit(binding)
    if (this.steep.size === 0) return
    const key = routingKey === '' ? [] : routingKey.split('.')
    for (const { binding, pattern } of this.steep.values()) if (pattern.matches(key)) visit(binding)
  }

  private step(word: string): void {
    this.next.length = 0
    this.generation++
    this.nodesVisited += this.alive.length
    for (const node of this.alive) {
      const literal = node.words.get(word)
      if (literal !== undefined) this.enter(this.next, literal)
      if (node.star !== null) this.enter(this.next, node.star)
      if (node.isHash) this.enter(this.next, node)
    }
    const alive = this.alive
    this.alive = this.next
    this.next = alive
  }

  /** A node is alive together with the `#` below it, which may stand for no word at all. */
  private enter(into: Node<Binding>[], node: Node<Binding>): void {
    if (node.mark === this.generation) return
    node.mark = this.generation
    into.push(node)
    if (node.hash !== null) this.enter(into, node.hash)
  }

  private child(node: Node<Binding>, word: string): Node<Binding> {
    if (word === '#') {
      node.hash ??= makeNode(true)
      return node.hash
    }
    if (word === '*') {
      node.star ??= makeNode(false)
      return node.star
    }
    let child = node.words.get(word)
    if (child === undefined) {
      child = makeNode(false)
      node.words.set(word, child)
    }
    return child
  }
}

function isEmpty(node: Node<unknown>): boolean {
  return node.bindings.length === 0 && node.words.size === 0 && node.star === null && node.hash === null
}

function isSteep(words: readonly string[]): boolean {
  const hash = words.indexOf('#')
  return hash >= 0 && words.length - hash - 1 > wordsBehindHashMax
}

/** The words of a pattern; the empty pattern has none, and `#.#` means the same as `#`. */
function splitPattern(pattern: string): string[] {
  if (pattern === '') return []
  return pattern.split('.').filter((word, index, words) => word !== '#' || words[index - 1] !== '#')
}
