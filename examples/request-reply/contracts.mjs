// What can be asked: shared by the caller and those who answer.

import { defineCall } from 'leveret'

/** @type {import('leveret').CallContract<{ n: number }, { factors: number[], by: string }>} */
export const factor = defineCall('factor')

/** @type {import('leveret').CallContract<{ title: string, copies: number }, string, any, string, { soldOut: { left: number } }>} */
export const reserve = defineCall('reserve')

/** Takes so long as it is told. @type {import('leveret').CallContract<{ ms: number }, string>} */
export const ponder = defineCall('ponder')
