/** Whether anything that all of a process shares was changed: a header called `__proto__` must be a header like any other. */

const shared: readonly (readonly [string, object])[] = [
  ['Object', Object.prototype],
  ['Array', Array.prototype],
  ['Function', Function.prototype],
  ['Map', Map.prototype],
  ['Set', Set.prototype],
  ['String', String.prototype],
  ['Number', Number.prototype],
  ['Error', Error.prototype],
  ['Promise', Promise.prototype],
  ['Buffer', Buffer.prototype],
  ['Uint8Array', Uint8Array.prototype],
]

const before = shared.map(([, prototype]) => picture(prototype))

function picture(prototype: object): string {
  const keys = Reflect.ownKeys(prototype).map(String)
  const parent = Object.getPrototypeOf(prototype) as object | null
  return `${keys.length} ${keys.join()} ${parent === null ? 'null' : parent === Object.prototype ? 'Object' : 'other'}`
}

/** The name of a prototype that is not what it was; null if all are. */
export function changedPrototype(): string | null {
  for (const [at, [name, prototype]] of shared.entries()) if (picture(prototype) !== before[at]) return name
  return null
}
