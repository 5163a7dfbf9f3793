/** A simulated machine with processes that can die; each incarnation of the tested process is one SimHost. */
import type { Host } from '../platform/host.ts'

/** What all processes of one machine share: who of them lives, and which boot this is. */
export class SimMachine {
  bootId = 'boot-1'
  private readonly running = new Set<string>()
  private lastPid = 100
  private boots = 1

  startProcess(): SimHost {
    this.lastPid++
    const host = new SimHost(this, this.lastPid, `${this.lastPid * 7}`)
    this.running.add(processKey(host.pid, host.startTime))
    return host
  }

  endProcess(host: SimHost): void {
    this.running.delete(processKey(host.pid, host.startTime))
  }

  /** Power off and on: nobody survives. */
  reboot(): void {
    this.running.clear()
    this.boots++
    this.bootId = `boot-${this.boots}`
  }

  isRunning(pid: number, startTime: string): boolean {
    if (startTime !== '') return this.running.has(processKey(pid, startTime))
    for (const key of this.running) if (key.startsWith(`${pid}/`)) return true
    return false
  }
}

export class SimHost implements Host {
  readonly pid: number
  readonly name: string = 'sim'
  readonly startTime: string
  private readonly machine: SimMachine

  constructor(machine: SimMachine, pid: number, startTime: string) {
    this.machine = machine
    this.pid = pid
    this.startTime = startTime
  }

  get bootId(): string {
    return this.machine.bootId
  }

  isRunning(pid: number, startTime: string): boolean {
    return this.machine.isRunning(pid, startTime)
  }

  residentBytes(): number {
    return 64 * 1024 * 1024
  }
}

function processKey(pid: number, startTime: string): string {
  return `${pid}/${startTime}`
}
