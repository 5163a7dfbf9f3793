// The handler of `auto-load.mjs --kind=threads`: the work of its `compute`, in a file of its own.
import { pbkdf2Sync } from 'node:crypto'

export default function handle() {
  pbkdf2Sync('password', 'salt', 2_000, 32, 'sha256')
}
