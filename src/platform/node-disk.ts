/**
 * Real files. The callback functions of node:fs are wrapped once per call: node:fs/promises adds about as much work
 * again, and its FileHandle closes itself on garbage collection, which a log must never see.
 */
import * as fs from 'node:fs'
import * as net from 'node:net'
import type { Disk, DiskFile, DiskLock } from './disk.ts'

// A data folder holds other people's messages: nobody but its owner reads it.
const fileMode = 0o600
const directoryMode = 0o700

const flags = { create: 'wx+', read: 'r', write: 'r+' } as const

export class NodeDisk implements Disk {
  open(path: string, mode: 'create' | 'read' | 'write'): Promise<DiskFile> {
    return new Promise((resolve, reject) => {
      fs.open(path, flags[mode], fileMode, (error, descriptor) => {
        if (error === null) resolve(new NodeDiskFile(descriptor))
        else reject(error)
      })
    })
  }

  async list(path: string): Promise<string[]> {
    const names = await new Promise<string[]>((resolve, reject) => {
      fs.readdir(path, (error, found) => (error === null ? resolve(found) : reject(error)))
    })
    return names.sort()
  }

  makeDirectory(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.mkdir(path, { recursive: true, mode: directoryMode }, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  rename(from: string, to: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.rename(from, to, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  remove(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.unlink(path, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  link(from: string, to: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.link(from, to, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  freeBytes(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.statfs(path, (error, found) => (error === null ? resolve(found.bavail * found.bsize) : reject(error)))
    })
  }

  fileSystemType(path: string): Promise<number> {
    // Elsewhere the numbers mean other things.
    if (process.platform !== 'linux') return Promise.resolve(0)
    return new Promise((resolve, reject) => {
      // The system's number has 32 bits, and Node may take the highest for a sign.
      fs.statfs(path, (error, found) => (error === null ? resolve(found.type >>> 0) : reject(error)))
    })
  }

  async syncDirectory(path: string): Promise<void> {
    // Windows cannot open a directory for syncing; NTFS journals its names by itself.
    if (process.platform === 'win32') return
    const descriptor = await new Promise<number>((resolve, reject) => {
      fs.open(path, 'r', (error, opened) => (error === null ? resolve(opened) : reject(error)))
    })
    await new Promise<void>((resolve, reject) => {
      fs.fsync(descriptor, (syncError) => {
        fs.close(descriptor, (closeError) => {
          const error = syncError ?? closeError
          if (error == null) resolve()
          else reject(error)
        })
      })
    })
  }

  async lock(path: string): Promise<DiskLock | null> {
    const stat = await new Promise<fs.BigIntStats>((resolve, reject) => {
      fs.stat(path, { bigint: true }, (error, found) => (error === null ? resolve(found) : reject(error)))
    })
    const name = `leveret-${stat.dev}-${stat.ino}`
    if (lockedNames.has(name)) return null
    lockedNames.add(name)
    try {
      const server = await listenOnAbstractSocket(name)
      if (server !== null) return new NodeDiskLock(name, server)
    } catch (error) {
      lockedNames.delete(name)
      throw error
    }
    lockedNames.delete(name)
    return null
  }
}

class NodeDiskFile implements DiskFile {
  private readonly descriptor: number

  constructor(descriptor: number) {
    this.descriptor = descriptor
  }

  write(buffer: Buffer, start: number, end: number, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { descriptor } = this
      writeFrom(start)

      // A short write is legal and does happen (a signal, a full disk): what is left needs another call.
      function writeFrom(from: number): void {
        fs.write(descriptor, buffer, from, end - from, position + from - start, (error, bytes) => {
          if (error !== null) reject(error)
          else if (from + bytes >= end) resolve()
          else if (bytes === 0) reject(nothingWritten())
          else writeFrom(from + bytes)
        })
      }
    })
  }

  read(buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const { descriptor } = this
      readFrom(start)

      function readFrom(from: number): void {
        if (from >= end) {
          resolve(from - start)
          return
        }
        fs.read(descriptor, buffer, from, end - from, position + from - start, (error, bytes) => {
          if (error !== null) reject(error)
          else if (bytes === 0) resolve(from - start)
          else readFrom(from + bytes)
        })
      }
    })
  }

  readNow(buffer: Buffer, start: number, end: number, position: number): number {
    let from = start
    while (from < end) {
      const bytes = fs.readSync(this.descriptor, buffer, from, end - from, position + from - start)
      if (bytes === 0) break
      from += bytes
    }
    return from - start
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.descriptor, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.descriptor, (error, stat) => (error === null ? resolve(stat.size) : reject(error)))
    })
  }

  truncate(size: number): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.ftruncate(this.descriptor, size, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.close(this.descriptor, (error) => (error == null ? resolve() : reject(error)))
    })
  }
}

/** POSIX allows a write of 0 bytes without an error; trying again for ever would help nobody. */
function nothingWritten(): Error {
  return Object.assign(new Error('ENOSPC: the system wrote nothing'), { code: 'ENOSPC', syscall: 'write' })
}

// One registry per process even if two copies of this package are loaded, hence the global symbol. Worker threads have
// their own globals; between those the abstract socket decides.
const registryKey = Symbol.for('leveret.lockedFolders')
const globals = globalThis as unknown as Record<symbol, Set<string> | undefined>
globals[registryKey] ??= new Set()
const lockedNames: Set<string> = globals[registryKey]

class NodeDiskLock implements DiskLock {
  private readonly name: string
  private readonly server: net.Server | 'process'
  private released = false

  constructor(name: string, server: net.Server | 'process') {
    this.name = name
    this.server = server
  }

  release(): Promise<void> {
    return new Promise((resolve) => {
      if (this.released) {
        resolve()
        return
      }
      this.released = true
      const done = (): void => {
        lockedNames.delete(this.name)
        resolve()
      }
      if (this.server === 'process') done()
      else this.server.close(done)
    })
  }
}

/**
 * Node has no flock. A Linux abstract socket is freed by the kernel when its process dies, leaves no file behind, and is
 * seen by every process of the same network namespace; the LOCK file speaks for the others. Elsewhere: this process.
 */
function listenOnAbstractSocket(name: string): Promise<net.Server | 'process' | null> {
  if (process.platform !== 'linux') return Promise.resolve('process')
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy())
    server.unref()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null)
      else reject(error)
    })
    // exclusive: the workers of node:cluster would otherwise share one socket, and all of them hold the lock.
    server.listen({ path: `\0${name}`, exclusive: true }, () => {
      server.removeAllListeners('error')
      server.on('error', () => {})
      resolve(server)
    })
  })
}
