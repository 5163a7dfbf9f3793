// What the machine is and what a process has used, read from /proc. On other systems these figures are missing (NaN),
// the rates are not.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { percentiles } from './statistics.mjs'

// USER_HZ: 100 on every Linux that Node runs on.
const ticksPerSecond = 100

/** @param {string} file */
function read(file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** The fields of /proc/<pid>/stat from the third on, or none. @param {number | string} pid */
function statFields(pid) {
  const stat = read(`/proc/${pid}/stat`)
  // The command name, which is the second, may hold spaces and brackets.
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** CPU seconds, user and system, of a process with all its threads. @param {number | undefined} pid */
export function cpuSeconds(pid) {
  const fields = pid ? statFields(pid) : []
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** The same with all that descends from it, living or ended. @param {number | undefined} pid */
export function cpuSecondsOfTree(pid) {
  if (!pid || statFields(pid).length === 0) return Number.NaN
  /** @type {Map<number, { pid: number, ticks: number }[]>} */
  const children = new Map()
  let seconds = 0
  for (const name of fs.readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? statFields(name) : []
    if (fields.length === 0) continue
    const parent = Number(fields[1])
    // Its own, and that of children it has waited for.
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    const one = { pid: Number(name), ticks }
    if (one.pid === pid) seconds += ticks / ticksPerSecond
    children.set(parent, [...(children.get(parent) ?? []), one])
  }
  const open = [pid]
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    for (const child of children.get(parent) ?? []) {
      seconds += child.ticks / ticksPerSecond
      open.push(child.pid)
    }
  }
  return seconds
}

/** Resident memory in MiB, now and at its highest. @param {number | undefined} pid */
export function residentMiB(pid) {
  const status = pid ? read(`/proc/${pid}/status`) : ''
  const field = (/** @type {string} */ name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))?.[1]) / 1024
  return { now: field('VmRSS'), peak: field('VmHWM') }
}

/**
 * Ticks over all cores since boot: stolen by the hypervisor, spent in processes (interrupts belong to none), and all.
 */
export function systemTicks() {
  const fields = read('/proc/stat').split('\n', 1)[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? []
  const [user = Number.NaN, nice = Number.NaN, system = Number.NaN] = fields
  return {
    stolen: fields[7] ?? Number.NaN,
    inProcesses: user + nice + system,
    all: fields.reduce((sum, ticks) => sum + ticks, 0),
  }
}

/**
 * Watches who uses the cores. Short-lived processes of somebody else (a test run, a compiler) do not show in a list of
 * processes, but they halve a figure on two cores; as the difference between all and ours they cannot hide.
 * @param {(number | undefined)[]} pids  ours; with one unknown the answer is NaN
 * @param {(pid: number | undefined) => number} [cpu]  CPU seconds of one of them
 * @returns {() => number} the share of all CPU time that went to others since
 */
export function watchOthers(pids, cpu = cpuSeconds) {
  const ours = () => {
    let ticks = 0
    for (const pid of pids) ticks += cpu(pid) * ticksPerSecond
    return ticks
  }
  const systemBefore = systemTicks()
  const oursBefore = ours()
  return () => {
    const system = systemTicks()
    const others = system.inProcesses - systemBefore.inProcesses - (ours() - oursBefore)
    return Math.max(0, others) / (system.all - systemBefore.all)
  }
}

/** @param {string} folder */
export function fileSystemOf(folder) {
  let best = { point: '', type: 'unknown' }
  for (const line of read('/proc/self/mounts').split('\n')) {
    const [, point = '', type = ''] = line.split(' ')
    const inside = point === '/' || folder === point || folder.startsWith(`${point}/`)
    if (inside && point.length >= best.point.length) best = { point, type }
  }
  return best.type
}

/** What one small append with fdatasync costs here: the floor under every durable figure. @param {string} folder */
export function fdatasyncMs(folder) {
  const file = path.join(folder, 'fdatasync-probe')
  const descriptor = fs.openSync(file, 'w')
  const record = Buffer.alloc(512, 'x')
  const times = []
  for (let count = 0; count < 300; count += 1) {
    const startedAt = performance.now()
    fs.writeSync(descriptor, record)
    fs.fdatasyncSync(descriptor)
    times.push(performance.now() - startedAt)
  }
  fs.closeSync(descriptor)
  fs.rmSync(file)
  return percentiles(times)
}

/** @param {string} folder where the data will be */
export function describeMachine(folder) {
  const cpus = os.cpus()
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()}`,
    node: process.version,
    fileSystem: fileSystemOf(folder),
    fdatasync: fdatasyncMs(folder),
    date: new Date().toISOString(),
  }
}
