/** Who this process is, and whether another one still lives: what a folder's lock file needs to know. */

export interface Host {
  readonly pid: number
  readonly name: string
  /** Changes with every boot of the machine; empty where the system does not tell. */
  readonly bootId: string
  /** When this process started, in the system's own unit, as text; together with the pid it names a process for good. */
  readonly startTime: string
  /** Whether the process with that pid and start time (empty = any) is running on this machine. */
  isRunning(pid: number, startTime: string): boolean
  /** Resident memory of this process in bytes. */
  residentBytes(): number
}
