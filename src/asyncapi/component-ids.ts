/** Names for the parts of a document: AsyncAPI allows letters, digits and `. - _` there, and each name once. */

export class ComponentIds {
  private readonly taken: Set<string>

  constructor(reserved: readonly string[]) {
    this.taken = new Set(reserved)
  }

  /** The name itself if it can be; `kind` tells two apart, such as a queue and an event of one name. */
  take(name: string, kind: string): string {
    const plain = name.replace(/[^\w.-]/g, '_')
    let id = plain
    for (let count = 1; this.taken.has(id); count++) id = count === 1 ? `${plain}.${kind}` : `${plain}.${kind}-${count}`
    this.taken.add(id)
    return id
  }
}
