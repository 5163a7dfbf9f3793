// Reads what strace wrote (options -f -yy -s large) and asks of it whether the broker confirmed anything too early.

export interface SystemCall {
  readonly thread: number
  readonly name: string
  /** What the descriptor stands for: a path, or TCP:[from->to]. */
  readonly target: string
  /** The bytes written, if it writes. */
  readonly data: Buffer
  readonly result: number
  /** Line at which it was called and at which it had returned; the same unless another thread did something meanwhile. */
  readonly calledAt: number
  readonly returnedAt: number
  readonly text: string
}

const whole = /^(\d+) +(\w+)\((.*)\) += (-?\d+)/
const unfinished = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/
const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/

export function parseTrace(trace: string): SystemCall[] {
  const calls: SystemCall[] = []
  const open = new Map<string, { readonly args: string; readonly calledAt: number }>()
  for (const [line, text] of trace.split('\n').entries()) {
    const [, unfinishedThread, unfinishedName, unfinishedArgs = ''] = unfinished.exec(text) ?? []
    if (unfinishedThread !== undefined) {
      open.set(`${unfinishedThread} ${unfinishedName}`, { args: unfinishedArgs, calledAt: line })
      continue
    }
    const [, resumedThread, resumedName, rest = '', resumedResult] = resumed.exec(text) ?? []
    if (resumedThread !== undefined && resumedName !== undefined) {
      const start = open.get(`${resumedThread} ${resumedName}`)
      if (start === undefined) continue
      const args = start.args + rest
      calls.push(call(resumedThread, resumedName, args, Number(resumedResult), start.calledAt, line))
      continue
    }
    const [, thread, name, args = '', result] = whole.exec(text) ?? []
    if (thread !== undefined && name !== undefined) calls.push(call(thread, name, args, Number(result), line, line))
  }
  return calls.sort((a, b) => a.calledAt - b.calledAt)
}

function call(
  thread: string,
  name: string,
  args: string,
  result: number,
  calledAt: number,
  returnedAt: number,
): SystemCall {
  const [, target = ''] = /^\d+<(.*?)>(?:,|$)/.exec(args) ?? []
  // writev and sendmsg have several strings; what they wrote is all of them.
  const strings = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, escaped = '']) => unescape(escaped))
  const data = Buffer.concat(strings)
  const text = `${name}(${args.slice(0, 150)}${args.length > 150 ? '…' : ''}) = ${result}`
  return { thread: Number(thread), name, target, data, result, calledAt, returnedAt, text }
}

const letters: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, a: 7, b: 8 }

/** C's escapes: a letter, up to three octal digits, or x and two hexadecimal ones. */
function unescape(escaped: string): Buffer {
  const bytes: number[] = []
  for (const [, octal, hex, letter, plain] of escaped.matchAll(/\\([0-7]{1,3})|\\x([0-9a-f]{2})|\\(.)|([^\\])/g)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8))
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16))
    else if (letter !== undefined) bytes.push(letters[letter] ?? letter.charCodeAt(0))
    else bytes.push((plain ?? '').charCodeAt(0))
  }
  return Buffer.from(bytes)
}

export interface ConfirmReport {
  /** Messages that were confirmed, and in how many writes to a socket. */
  readonly confirmed: number
  readonly batches: number
  readonly syncs: number
  /** What was confirmed before it was safe, in words. */
  readonly violations: readonly string[]
  /** Write, sync and confirm of one batch, as strace saw them. */
  readonly excerpt: readonly string[]
}

/**
 * For each confirm on a socket: a sync of the file that holds the message began after its write had returned, and had
 * returned itself before the confirm was written. `markerOf` is what the nth message of a connection contains; the
 * connections' publishers use the markers in the order in which the connections were made.
 */
export function checkConfirms(
  calls: readonly SystemCall[],
  markerOf: (connection: number, message: number) => string,
): ConfirmReport {
  const writes = calls.filter(({ name, target }) => /^p?writev?(64)?$/.test(name) && /\/log\/\d+\.log$/.test(target))
  const syncs = calls.filter(
    ({ name, target, result }) => /^f(data)?sync$/.test(name) && result === 0 && target.endsWith('.log'),
  )
  const violations: string[] = []
  let excerpt: string[] = []
  let confirmed = 0
  let batches = 0
  for (const [connection, sends] of socketWrites(calls).entries()) {
    let upTo = 0
    for (const { tag, multiple, send } of confirmsIn(sends)) {
      const first = multiple ? upTo + 1 : tag
      upTo = Math.max(upTo, tag)
      batches++
      for (let message = first; message <= tag; message++) {
        confirmed++
        const marker = markerOf(connection, message)
        const write = writes.find(({ data }) => data.includes(marker))
        const sync = write && syncs.find((one) => one.target === write.target && one.calledAt > write.returnedAt)
        if (write === undefined || write.returnedAt > send.calledAt) {
          violations.push(`${marker} was confirmed at line ${send.calledAt} and not written before`)
        } else if (sync === undefined || sync.returnedAt > send.calledAt) {
          violations.push(`${marker} was confirmed at line ${send.calledAt} and not synced since its write`)
        } else if (message === tag) {
          excerpt = [write, sync, send].map(
            (one) => `${String(one.calledAt).padStart(5)} thread ${one.thread} ${one.text}`,
          )
        }
      }
    }
  }
  return { confirmed, batches, syncs: syncs.length, violations, excerpt }
}

/** Per connection, in the order of their first write. */
function socketWrites(calls: readonly SystemCall[]): SystemCall[][] {
  const connections = new Map<string, SystemCall[]>()
  for (const one of calls) {
    if (!one.target.startsWith('TCP') || !/^(write|writev|sendto|sendmsg)$/.test(one.name) || one.result <= 0) continue
    const sends = connections.get(one.target)
    if (sends === undefined) connections.set(one.target, [one])
    else sends.push(one)
  }
  return [...connections.values()]
}

interface Confirm {
  readonly tag: number
  readonly multiple: boolean
  /** The write in which its first byte left. */
  readonly send: SystemCall
}

const basicAck = 60 * 65_536 + 80

function* confirmsIn(sends: readonly SystemCall[]): Generator<Confirm> {
  const stream = Buffer.concat(sends.map(({ data, result }) => data.subarray(0, result)))
  let sent = 0
  let index = 0
  for (let at = 0; at + 8 <= stream.length; ) {
    while (at >= sent + sends[index]!.result) sent += sends[index++]!.result
    const size = stream.readUInt32BE(at + 3)
    if (stream[at] === 1 && size >= 4 && stream.readUInt32BE(at + 7) === basicAck) {
      const tag = Number(stream.readBigUInt64BE(at + 11))
      yield { tag, multiple: stream[at + 19] === 1, send: sends[index]! }
    }
    at += size + 8
  }
}
