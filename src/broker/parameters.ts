/**
 * Parameters: JSON under a component and a name, of a virtual host or of the whole broker. Policies and the limits of virtual
 * hosts are parameters too; what else there is, is kept for whoever asks.
 */
import type { Json, JsonObject } from '../model/administration.ts'

/** What stands for the whole broker where a virtual host is named: no virtual host has an empty name. */
export const wholeBroker = ''

export const components = {
  policy: 'policy',
  operatorPolicy: 'operator_policy',
  virtualHostLimits: 'vhost-limits',
  global: 'global',
} as const

/** The one name of the component that has the limits of a virtual host. */
export const limitsName = 'limits'

export interface Parameter {
  readonly virtualHost: string
  readonly component: string
  readonly name: string
  readonly value: Json
}

export class Parameters {
  /** Grows with every change. */
  version = 0
  /** By virtual host and component, then by name. */
  private readonly components = new Map<string, Map<string, Parameter>>()

  get(virtualHost: string, component: string, name: string): Json | undefined {
    return this.components.get(keyOf(virtualHost, component))?.get(name)?.value
  }

  of(virtualHost: string, component: string): Iterable<Parameter> {
    return this.components.get(keyOf(virtualHost, component))?.values() ?? []
  }

  *all(): Generator<Parameter> {
    for (const names of this.components.values()) yield* names.values()
  }

  /** Those of policies, which may have to be compiled. */
  *patterns(): Generator<string> {
    for (const { component, value } of this.all()) {
      if (component !== components.policy && component !== components.operatorPolicy) continue
      const { pattern } = value as JsonObject
      if (typeof pattern === 'string') yield pattern
    }
  }

  put(parameter: Parameter): void {
    this.version++
    const key = keyOf(parameter.virtualHost, parameter.component)
    const names = this.components.get(key)
    if (names === undefined) this.components.set(key, new Map([[parameter.name, parameter]]))
    else names.set(parameter.name, parameter)
  }

  delete(virtualHost: string, component: string, name: string): void {
    this.version++
    this.components.get(keyOf(virtualHost, component))?.delete(name)
  }

  deleteVirtualHost(virtualHost: string): void {
    this.version++
    const prefix = keyOf(virtualHost, '')
    for (const key of this.components.keys()) if (key.startsWith(prefix)) this.components.delete(key)
  }

  /** The limit of a virtual host, such as max-queues; infinity if there is none. */
  limitOf(virtualHost: string, limit: string): number {
    const limits = this.get(virtualHost, components.virtualHostLimits, limitsName)
    return limitIn(limits, limit)
  }
}

/** Less than 0 is none. */
export function limitIn(limits: Json | undefined, limit: string): number {
  const values = limits as Readonly<Record<string, unknown>> | null | undefined
  const value = typeof values === 'object' && values !== null ? values[limit] : undefined
  return typeof value === 'number' && value >= 0 ? value : Number.POSITIVE_INFINITY
}

function keyOf(virtualHost: string, component: string): string {
  return `${virtualHost}\n${component}`
}
