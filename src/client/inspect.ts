/** What console.log shows of our objects: what they say, not how they are made. */

/** Node looks for a method of this name. */
const inspectName = Symbol.for('nodejs.util.inspect.custom')

/** Objects with this prototype are shown as their toJSON. */
export function showAsJson(prototype: { toJSON(): object }): void {
  Object.defineProperty(prototype, inspectName, {
    value(this: { toJSON(): object }): object {
      return this.toJSON()
    },
  })
}
