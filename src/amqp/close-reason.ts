/**
 * Why a channel or a connection is closed, as an error and as the arguments of channel.close and connection.close:
 *
 *     reply-code u16be   reply-text shortstr, `NAME - explanation`   class u16be   method u16be (of what was wrong; 0 if nothing)
 */
import { BrokerError, type ReplyCode, replyCodes } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Arguments } from './methods.ts'

/** `methodId` holds class and method, as on the wire. */
export function closeArguments(error: BrokerError, methodId: number): Arguments<'connection.close'> {
  return {
    replyCode: error.number,
    replyText: shortText(error.message),
    classId: methodId >>> 16,
    methodId: methodId & 0xffff,
  }
}

/** What the peer said, as the error that it had; a code that nobody knows is an INTERNAL_ERROR. */
export function closeError({ replyCode, replyText }: Arguments<'connection.close'>): BrokerError {
  const code = codesByNumber.get(replyCode)
  if (code === undefined) return new BrokerError('INTERNAL_ERROR', `${replyCode} ${replyText}`)
  const prefix = `${code} - `
  return new BrokerError(code, replyText.startsWith(prefix) ? replyText.slice(prefix.length) : replyText)
}

const codesByNumber = new Map<number, ReplyCode>()
for (const code of Object.keys(replyCodes) as ReplyCode[]) codesByNumber.set(replyCodes[code].number, code)

const more = '...'

function shortText(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= limits.nameBytesMax) return text
  // Never in the middle of a character: its later octets are 10xxxxxx.
  let end = limits.nameBytesMax - more.length
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end) + more
}
