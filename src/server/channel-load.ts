/** What all channels of a connection together hold back or wait for: where it is too much, the socket is not read. */
import { limits } from '../model/limits.ts'
import { pauseReasons, type ReadGate } from './read-gate.ts'

export class ChannelLoad {
  private readonly gate: ReadGate
  /** So many channels have too many frames that wait for an answer before them. */
  private heldBack = 0
  /** So many have too much of a large body that waits to be written. */
  private fullBodies = 0
  /** So many have too much to say behind a large body. */
  private behind = 0
  /** Commands that were not answered yet. */
  private commands = 0

  constructor(gate: ReadGate) {
    this.gate = gate
  }

  /** Whether a channel holds back too much; told in turns, as the next two are. */
  holdBack(isTooMuch: boolean): void {
    this.heldBack += isTooMuch ? 1 : -1
    this.gate.set(pauseReasons.held, this.heldBack > 0)
  }

  /** Whether too much of a large body waits to be written. */
  holdBodies(isTooMuch: boolean): void {
    this.fullBodies += isTooMuch ? 1 : -1
    this.gate.set(pauseReasons.bodies, this.fullBodies > 0)
  }

  /** Whether too much is to be said behind a large body. */
  holdBehind(isTooMuch: boolean): void {
    this.behind += isTooMuch ? 1 : -1
    this.gate.set(pauseReasons.behind, this.behind > 0)
  }

  /** So many commands more, or fewer, wait for their answers. */
  commandsWaiting(more: number): void {
    this.commands += more
    if (this.commands >= limits.commandsWaitingMax) this.gate.pause(pauseReasons.commands)
    else if (this.commands <= limits.commandsWaitingMax / 2) this.gate.resume(pauseReasons.commands)
  }
}
