/** The one URL that says where a bus lives: `memory:`, `file:./data`, `amqp://host`. */
import { LeveretError } from '../model/errors.ts'

export type BusUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'file'; readonly directory: string }
  | { readonly kind: 'amqp'; readonly url: string }

const forms = "write 'memory:', 'file:./data' or 'amqp://127.0.0.1:5672'"

/** Throws E_BAD_URL, which says what to write instead. */
export function parseBusUrl(url: unknown): BusUrl {
  if (typeof url !== 'string') throw bad(`the URL is ${url === null ? 'null' : typeof url}, not text: ${forms}`)
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase()
  switch (scheme) {
    case 'memory':
      return memoryUrl(url)
    case 'file':
      return { kind: 'file', directory: directoryOf(url) }
    case 'amqp':
    case 'amqps':
      return amqpUrl(url)
    default:
      throw bad(`${shown(url)} is not a URL that Leveret knows: ${advice(url, scheme)}`)
  }
}

function memoryUrl(url: string): BusUrl {
  if (/^memory:(\/\/)?$/i.test(url)) return { kind: 'memory' }
  throw bad(`${shown(url)} names something in memory: write 'memory:' alone, for each connect has a memory of its own`)
}

function amqpUrl(url: string): BusUrl {
  if (!URL.canParse(url))
    throw bad(`${shown(url)} cannot be read: write it like 'amqp://user:password@host:5672/vhost'`)
  if (new URL(url).hostname === '') throw bad(`${shown(url)} names no host: write it like 'amqp://127.0.0.1:5672'`)
  return { kind: 'amqp', url }
}

/**
 * `file:./data` and `file:data` are relative to the working directory and taken as they stand, per cent signs too.
 * `file:///var/lib/app` is a real file URL, so its escapes are decoded.
 */
function directoryOf(url: string): string {
  const rest = url.slice('file:'.length)
  if (rest === '' || rest === '//') throw bad(`${shown(url)} names no folder: write 'file:./data'`)
  if (!rest.startsWith('//')) return rest
  const match = /^\/\/(?:localhost)?(\/.*)$/.exec(rest)
  if (match === null) throw bad(`${shown(url)} names a host: write 'file:./${rest.slice(2)}' for a folder beside you`)
  try {
    return decodeURIComponent(match[1] as string)
  } catch {
    throw bad(`${shown(url)} has a broken escape: write a per cent sign as %25`)
  }
}

function advice(url: string, scheme: string | undefined): string {
  if (url === 'memory' || url === ':memory:') return "write 'memory:'"
  if (/^(\.{0,2}\/|~\/|[a-z]:[\\/])/i.test(url)) return `for that folder write 'file:${url}'`
  if (scheme === undefined && /^[\w.-]+$/.test(url) && url !== '') return `for a folder write 'file:./${url}'`
  if (/^(localhost|[\d.]+):\d+/.test(url)) return `for a broker write 'amqp://${url}'`
  return forms
}

/** Without the password, because errors end in logs. */
function shown(url: string): string {
  return `'${url.replace(/(\/\/[^/@:]*):[^/@]*@/, '$1:***@').slice(0, 200)}'`
}

function bad(text: string): LeveretError {
  return new LeveretError('E_BAD_URL', text)
}
