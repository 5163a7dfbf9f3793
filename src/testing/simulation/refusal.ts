/** How the reference says no: with the code that the broker must give. */
import type { ReplyCode } from '../../model/errors.ts'

export class Refusal extends Error {
  readonly code: ReplyCode

  constructor(code: ReplyCode) {
    super(code)
    this.code = code
  }
}
