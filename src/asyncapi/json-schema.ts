/**
 * What a schema of a contract says, as JSON Schema draft 07, which is what AsyncAPI builds on. The library of the schema
 * tells it by Standard JSON Schema (standardschema.dev/json-schema), an extension of Standard Schema; where it cannot, an
 * empty schema says so in its description.
 */
import type { StandardSchema } from '../client/standard-schema.ts'
import type { Json, JsonObject } from '../model/administration.ts'

/** The part of Standard JSON Schema that is used here. Both throw for what JSON Schema cannot say. */
interface JsonSchemaSource {
  readonly input: (options: JsonSchemaOptions) => object
}

interface JsonSchemaOptions {
  readonly target: 'draft-07'
  /** The library's own. */
  readonly libraryOptions?: Readonly<Record<string, unknown>>
}

/** What makes a library leave open what it cannot say, instead of saying nothing at all. */
const leaveOpen: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  zod: { unrepresentable: 'any' },
  valibot: { errorMode: 'ignore' },
}

/**
 * The JSON Schema of what goes into the schema, for that is what is on the wire, in both directions. `pointer` is where it will
 * stand in the document, such as '#/components/schemas/resize': its own references begin there.
 */
export function jsonSchemaOf(schema: StandardSchema | undefined, pointer: string): JsonObject {
  if (schema === undefined) return { description: 'Any JSON value: the contract has no schema.' }
  const { vendor } = schema['~standard']
  const source = sourceOf(schema)
  if (source === null) return { description: `${sayVendor(vendor)} gives no JSON Schema for this.${adviceFor(vendor)}` }
  try {
    return embed(source.input({ target: 'draft-07' }), pointer)
  } catch (error) {
    return leftOpen(source, vendor, pointer, error)
  }
}

function sourceOf(schema: StandardSchema): JsonSchemaSource | null {
  const { jsonSchema } = schema['~standard'] as { jsonSchema?: Partial<JsonSchemaSource> | null }
  return typeof jsonSchema?.input === 'function' ? (jsonSchema as JsonSchemaSource) : null
}

function sayVendor(vendor: string): string {
  return vendor === '' ? 'The schema library' : `The schema library '${vendor}'`
}

function adviceFor(vendor: string): string {
  return vendor === 'valibot' ? ' With toStandardJsonSchema of @valibot/to-json-schema it does.' : ''
}

/** The library cannot say all of it: what it can say, with a note of what it cannot. */
function leftOpen(source: JsonSchemaSource, vendor: string, pointer: string, reason: unknown): JsonObject {
  const why = reason instanceof Error ? reason.message : String(reason)
  const libraryOptions = leaveOpen[vendor]
  if (libraryOptions !== undefined) {
    try {
      const schema = embed(source.input({ target: 'draft-07', libraryOptions }), pointer)
      return withNote(schema, `Part of this is left open: ${why}`)
    } catch {
      // Then nothing can be said.
    }
  }
  return { description: `${sayVendor(vendor)} gives no JSON Schema for this: ${why}` }
}

function withNote(schema: JsonObject, note: string): JsonObject {
  const { description } = schema
  return { ...schema, description: typeof description === 'string' ? `${description}\n\n${note}` : note }
}

const schemaMaps: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  'definitions',
  '$defs',
  'dependencies',
  'dependentSchemas',
])
const schemaLists: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'items', 'prefixItems'])
const subschemas: ReadonlySet<string> = new Set([
  'items',
  'additionalItems',
  'additionalProperties',
  'propertyNames',
  'contains',
  'not',
  'if',
  'then',
  'else',
])

/** As a part of the document: plain JSON, without the dialect, and with references that begin at the document's root. */
function embed(schema: object, pointer: string): JsonObject {
  const { $schema: _dialect, ...rest } = JSON.parse(JSON.stringify(schema)) as JsonObject
  return moved(rest, pointer)
}

/** Looks where JSON Schema has schemas and nowhere else: a property may be called `$ref`, and so may be one of an example. */
function moved(schema: JsonObject, pointer: string): JsonObject {
  const result: Record<string, Json> = {}
  for (const [keyword, value] of Object.entries(schema)) result[keyword] = movedKeyword(keyword, value, pointer)
  return result
}

function movedKeyword(keyword: string, value: Json, pointer: string): Json {
  if (keyword === '$ref') {
    return typeof value === 'string' && /^#(\/|$)/.test(value) ? `${pointer}${value.slice(1)}` : value
  }
  if (Array.isArray(value))
    return schemaLists.has(keyword) ? value.map((one: Json) => movedSchema(one, pointer)) : value
  if (!isObject(value)) return value
  if (schemaMaps.has(keyword)) {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, movedSchema(one, pointer)]))
  }
  return subschemas.has(keyword) ? moved(value, pointer) : value
}

function movedSchema(schema: Json, pointer: string): Json {
  return isObject(schema) ? moved(schema, pointer) : schema
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
