// What is ordered in the kitchen: shared by the cook and the guests.

import { defineCall, defineQueue } from 'leveret'

/** @type {import('leveret').QueueContract<{ dish: string, minutes: number }, { plates: number }>} */
export const orders = defineQueue('orders')

/** @type {import('leveret').CallContract<{ dish: string }, number>} */
export const price = defineCall('price')

/** How long a minute in this kitchen is, in ms. */
export const minuteMs = 40
