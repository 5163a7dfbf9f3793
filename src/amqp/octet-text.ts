/**
 * Octets as RabbitMQ shows them in its error texts, which clients and their tests match on: <<1,2,3>>, or <<"text">> if all
 * of them can be printed.
 */

/** What a text has room for. */
const snippetOctets = 16
// More cannot be in a reply-text of 255 octets, at two characters each.
const listedOctetsMax = 128

/** `type 2, all octets = <<0,60>>`; of a long payload the first 16. */
export function frameText(type: number, buffer: Buffer, start: number, end: number): string {
  const isLong = end - start > snippetOctets
  const octets = buffer.subarray(start, isLong ? start + snippetOctets : end)
  return `type ${type}, ${isLong ? 'first 16' : 'all'} octets = ${isText(octets) ? quoted(octets) : octetList(octets)}`
}

/** Numbers only. */
export function octetList(octets: Buffer): string {
  return `<<${octets.subarray(0, listedOctetsMax).join(',')}>>`
}

function isText(octets: Buffer): boolean {
  return octets.length > 0 && octets.every((octet) => octet >= 0x20 && octet < 0x7f)
}

function quoted(octets: Buffer): string {
  return `<<"${octets.toString('latin1').replaceAll(/["\\]/g, (mark) => `\\${mark}`)}">>`
}
