// Removes folders that a build writes (by default all), so that a package never carries files of a source that is gone.
import { rmSync } from 'node:fs'

const written = ['dist', 'build', 'coverage']
const asked = process.argv.slice(2)
for (const folder of asked) if (!written.includes(folder)) throw new Error(`${folder} is not written by a build`)
for (const folder of asked.length > 0 ? asked : written) {
  rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true })
}
