/** Reads what was typed behind an option. */
import { LeveretError } from '../model/errors.ts'

/** Throws E_BAD_OPTION unless it is an integer within the range. */
export function integerOption(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new LeveretError('E_BAD_OPTION', `${name} is '${text}', and has to be an integer from ${min} to ${max}`)
}

/** Throws E_BAD_OPTION unless it is one of the choices. */
export function choiceOption<Choice extends string>(name: string, text: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((one) => one === text)
  if (choice !== undefined) return choice
  throw new LeveretError('E_BAD_OPTION', `${name} is '${text}', and has to be one of ${choices.join(', ')}`)
}
