// A second process that makes the same schedule: node keeper.mjs URL

import { connect } from 'leveret'
import { schedule } from './tower.mjs'

const bus = await connect(/** @type {string} */ (process.argv[2]))
const { ring } = await schedule(bus)
console.log(`  a second process has made the same schedule '${ring.name}'`)
await bus.close()
