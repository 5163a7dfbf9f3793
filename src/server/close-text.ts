/** The reply-text of channel.close and connection.close: `NAME - explanation`, cut to what a short string holds. */
import type { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'

export function closeText(error: BrokerError): string {
  const bytes = Buffer.from(error.message)
  if (bytes.length <= limits.nameBytesMax) return error.message
  // Never in the middle of a character: its later octets are 10xxxxxx.
  let end = limits.nameBytesMax
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
