// What libraries say about their schemas arrives in the document, with references that hold there.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { StandardSchema } from '../client/standard-schema.ts'
import { jsonSchemaOf } from './json-schema.ts'

const pointer = '#/components/schemas/x'

/** A schema of a library that says this of itself; a function is called with the options. */
function saying(vendor: string, input?: unknown): StandardSchema {
  const jsonSchema =
    input === undefined ? {} : { jsonSchema: { input: typeof input === 'function' ? input : () => input } }
  return {
    '~standard': { version: 1, vendor, validate: (value: unknown) => ({ value }), ...jsonSchema },
  } as StandardSchema
}

describe('jsonSchemaOf', () => {
  it('asks for draft 07, and for what goes in', () => {
    const asked: unknown[] = []
    jsonSchemaOf(
      saying('own', (options: unknown) => {
        asked.push(options)
        return {}
      }),
      pointer,
    )
    expect(asked).toEqual([{ target: 'draft-07' }])
    const schema = z.string().transform(Number)
    expect(jsonSchemaOf(schema as unknown as StandardSchema, pointer)).toEqual({ type: 'string' })
  })

  it('moves references to where the schema stands', () => {
    interface Tree {
      readonly name: string
      readonly children: Tree[]
    }
    const tree: z.ZodType<Tree> = z.object({ name: z.string(), children: z.lazy(() => z.array(tree)) })
    const own = jsonSchemaOf(tree as unknown as StandardSchema, pointer)
    expect(own).toMatchObject({ properties: { children: { items: { $ref: pointer } } } })
    const two = jsonSchemaOf(z.object({ a: tree, b: tree }) as unknown as StandardSchema, pointer)
    expect(JSON.stringify(two)).toContain(`"$ref":"${pointer}/definitions/`)
    expect(JSON.stringify(two)).not.toContain('"#/definitions/')
  })

  it('moves references wherever a schema may stand, and nothing else', () => {
    const ref = { $ref: '#/definitions/a' }
    const schema = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      definitions: { a: { const: ref } },
      properties: { $ref: { type: 'string' }, b: { allOf: [ref, true], not: ref, default: ref } },
      items: [ref],
      additionalProperties: ref,
      dependencies: { b: ['$ref'] },
      examples: [ref],
      enum: [ref],
      if: { $ref: 'https://example.com/other#/a' },
    }
    const moved = { $ref: `${pointer}/definitions/a` }
    expect(jsonSchemaOf(saying('own', schema), pointer)).toEqual({
      definitions: { a: { const: ref } },
      properties: { $ref: { type: 'string' }, b: { allOf: [moved, true], not: moved, default: ref } },
      items: [moved],
      additionalProperties: moved,
      dependencies: { b: ['$ref'] },
      examples: [ref],
      enum: [ref],
      if: { $ref: 'https://example.com/other#/a' },
    })
  })

  it('leaves open what JSON Schema cannot say, and says so', () => {
    const schema = z.object({ file: z.string(), at: z.date() }).describe('An image.')
    expect(jsonSchemaOf(schema as unknown as StandardSchema, pointer)).toEqual({
      type: 'object',
      properties: { file: { type: 'string' }, at: {} },
      required: ['file', 'at'],
      description: 'An image.\n\nPart of this is left open: Date cannot be represented in JSON Schema',
    })
  })

  it('is open where a library has no JSON Schema, and says why', () => {
    expect(jsonSchemaOf(saying('own'), pointer)).toEqual({
      description: "The schema library 'own' gives no JSON Schema for this.",
    })
    expect(jsonSchemaOf(saying('valibot'), pointer)['description']).toContain('toStandardJsonSchema')
    const fails = (): never => {
      throw new Error('no draft 07')
    }
    for (const vendor of ['own', 'zod']) {
      expect(jsonSchemaOf(saying(vendor, fails), pointer)).toEqual({
        description: `The schema library '${vendor}' gives no JSON Schema for this: no draft 07`,
      })
    }
  })
})
