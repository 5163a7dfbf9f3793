/** Who somebody is by his certificate. */
import type { PeerCertificate } from '../platform/network.ts'

/** The common name, the whole name as in RFC 4514, or the first alternative name. */
export type CertificateUser = 'cn' | 'dn' | 'san'

/** Null: it does not say, and EXTERNAL is not offered. */
export function certificateUserOf(certificate: PeerCertificate | null, by: CertificateUser): string | null {
  if (certificate === null) return null
  const { commonName, distinguishedName, alternativeName } = certificate
  const user = { cn: commonName, dn: distinguishedName, san: alternativeName }[by]
  return user === '' ? null : user
}
