/** Who this process is. Boot id and start time come from /proc; elsewhere they stay empty and only the pid counts. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Host } from './host.ts'

export class NodeHost implements Host {
  readonly pid: number = process.pid
  readonly name: string = hostname()
  readonly bootId: string = readText('/proc/sys/kernel/random/boot_id').trim()
  readonly startTime: string = readStat(process.pid).startTime

  isRunning(pid: number, startTime: string): boolean {
    if (!Number.isSafeInteger(pid) || pid <= 0) return false
    try {
      process.kill(pid, 0)
    } catch (error) {
      // EPERM: it is there, but belongs to somebody else.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
    }
    const stat = readStat(pid)
    // A zombie answers signals, but it holds no file and writes no byte.
    if (stat.state === 'Z' || stat.state === 'X') return false
    return startTime === '' || stat.startTime === '' || stat.startTime === startTime
  }

  residentBytes(): number {
    return process.memoryUsage.rss()
  }
}

function readStat(pid: number): { state: string; startTime: string } {
  const text = readText(`/proc/${pid}/stat`)
  // pid (name) state ppid ...: the name may hold spaces and parentheses; the start time is field 22, the state field 3.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startTime: fields[19] ?? '' }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
