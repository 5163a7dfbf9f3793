// What is told in the harbour: shared by those who tell it and those who listen.

import { defineEvent } from 'leveret'

/** @type {import('leveret').EventContract<{ ship: string, from: string }>} */
export const arrived = defineEvent('ship.arrived')

/** @type {import('leveret').EventContract<{ ship: string }>} */
export const left = defineEvent('ship.left')
