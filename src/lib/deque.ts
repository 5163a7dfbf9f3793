/**
 * A double-ended queue in a ring whose capacity is a power of two:
 *
 *     items:  [ . . c d e f . . ]      head = 2, length = 4, mask = 7
 *                   ^head   ^head+length
 *
 * push, shift, unshift and get are O(1) and allocate nothing while the capacity suffices. A slot that was shifted is
 * cleared, so that the ring never keeps a message alive. A large ring that has become empty is let go of.
 */
import { assert } from './assert.ts'

/** It would be made again after so many pushes, so that each of them costs next to nothing. */
const keptCapacityMax = 65_536

export class Deque<T> {
  private items: (T | undefined)[]
  private mask: number
  private head = 0
  length = 0

  constructor(capacity = 16) {
    assert((capacity & (capacity - 1)) === 0, 'the capacity is a power of two')
    this.items = new Array<T | undefined>(capacity).fill(undefined)
    this.mask = capacity - 1
  }

  push(item: T): void {
    if (this.length > this.mask) this.grow()
    this.items[(this.head + this.length) & this.mask] = item
    this.length++
  }

  unshift(item: T): void {
    if (this.length > this.mask) this.grow()
    this.head = (this.head - 1) & this.mask
    this.items[this.head] = item
    this.length++
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.items[this.head]
    this.items[this.head] = undefined
    this.head = (this.head + 1) & this.mask
    if (--this.length === 0 && this.mask >= keptCapacityMax) this.clear()
    return item
  }

  pop(): T | undefined {
    if (this.length === 0) return undefined
    const at = (this.head + this.length - 1) & this.mask
    const item = this.items[at]
    this.items[at] = undefined
    this.length--
    return item
  }

  /** The item `index` places behind the head; undefined outside. */
  get(index: number): T | undefined {
    return index >= 0 && index < this.length ? this.items[(this.head + index) & this.mask] : undefined
  }

  /** Replaces the item `index` places behind the head. */
  set(index: number, item: T): void {
    assert(index < this.length, 'only what is there can be replaced')
    this.items[(this.head + index) & this.mask] = item
  }

  peek(): T | undefined {
    return this.length === 0 ? undefined : this.items[this.head]
  }

  peekLast(): T | undefined {
    return this.length === 0 ? undefined : this.items[(this.head + this.length - 1) & this.mask]
  }

  clear(): void {
    this.items = new Array<T | undefined>(16).fill(undefined)
    this.mask = 15
    this.head = 0
    this.length = 0
  }

  private grow(): void {
    const capacity = (this.mask + 1) * 2
    const items = new Array<T | undefined>(capacity).fill(undefined)
    for (let index = 0; index < this.length; index++) items[index] = this.items[(this.head + index) & this.mask]
    this.items = items
    this.mask = capacity - 1
    this.head = 0
  }
}
