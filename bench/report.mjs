// Turns measured rounds into tables for people. Medians, with the lowest and highest run beside them; ratios are the
// median of the ratios of each pair, because the two halves of a pair met the same weather.

import { median } from './statistics.mjs'

/** @param {number} rate */
function rateText(rate) {
  if (!Number.isFinite(rate)) return '–'
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(2)} M`
  if (rate >= 1e4) return `${(rate / 1e3).toFixed(0)} k`
  return rate >= 1e3 ? `${(rate / 1e3).toFixed(1)} k` : rate.toFixed(0)
}

/** @param {number} number */
function shortNumber(number) {
  if (!Number.isFinite(number)) return '–'
  return number >= 10 ? number.toFixed(0) : number.toFixed(number >= 1 ? 1 : 2)
}

/** @param {number} bytes */
function sizeText(bytes) {
  return bytes >= 1024 && bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} B`
}

/** @param {string} title @param {string[][]} rows the first is the head */
function table(title, rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    return `  ${cells.join('   ')}`
  })
  return ['', title, ...lines].join('\n')
}

/** @param {any[]} rounds @param {(round: any) => number} pick */
function medianOf(rounds, pick) {
  return median(rounds.map(pick))
}

/** @param {any[]} rounds @param {(round: any) => number} pick */
function rateCell(rounds, pick) {
  const rates = rounds.map(pick)
  const spread = rates.length > 1 ? ` (${rateText(Math.min(...rates))}–${rateText(Math.max(...rates))})` : ''
  return `${rateText(median(rates))}${spread}`
}

/** @param {any[]} rounds @param {{ name: string }[]} targets @param {(run: any) => number} pick @returns {string[]} */
function ratioCells(rounds, targets, pick) {
  const [own, peer] = targets
  if (!own || !peer) return []
  return [`${shortNumber(medianOf(rounds, (round) => pick(round[own.name]) / pick(round[peer.name])))}×`]
}

/**
 * @param {'durable' | 'transient'} mode @param {{ name: string }[]} targets
 * @param {{ size: number, rounds: any[] }[]} rows @param {import('./measure.mjs').Settings} settings
 */
export function throughputTable(mode, targets, rows, settings) {
  const head = ['body', ...targets.flatMap(({ name }) => [`${name} msg/s`, 'CPU µs/msg'])]
  if (targets.length > 1) head.push('ratio')
  let loadMicroseconds = 0
  const body = rows.map(({ size, rounds }) => {
    const cells = [sizeText(size)]
    for (const { name } of targets) {
      cells.push(rateCell(rounds, (round) => round[name].rate))
      cells.push(shortNumber(medianOf(rounds, (round) => round[name].brokerMicroseconds)))
      for (const side of ['producerMicroseconds', 'consumerMicroseconds']) {
        loadMicroseconds = Math.max(
          loadMicroseconds,
          medianOf(rounds, (round) => round[name][side]),
        )
      }
    }
    return [...cells, ...ratioCells(rounds, targets, (run) => run.rate)]
  })
  const { window, prefetch } = settings
  const title =
    mode === 'durable'
      ? `Durable: confirms (window ${window}), persistent, manual ack, prefetch ${prefetch}; end to end at the consumer`
      : 'Transient: no confirms, auto-ack; end to end at the consumer'
  const load = `The load generator used at most ${shortNumber(loadMicroseconds)} µs per message and side, system calls included.`
  return `${table(title, [head, ...body])}\n  ${load}`
}

/** @param {{ name: string }[]} targets @param {number} size @param {any[]} rounds */
export function latencyTable(targets, size, rounds) {
  const head = ['one in flight, ms', 'deliver p50', 'p99', 'confirm p50', 'p99', 'CPU µs/msg']
  const rows = targets.map(({ name }) => [
    name,
    ...latencyCells(rounds, (round) => round[name].deliver),
    ...latencyCells(rounds, (round) => round[name].confirm),
    shortNumber(medianOf(rounds, (round) => round[name].brokerMicroseconds)),
  ])
  if (targets.length > 1) {
    const ratio = (/** @type {(run: any) => number} */ pick) => ratioCells(rounds, targets, pick)[0] ?? ''
    rows.push([
      'ratio',
      ratio((run) => run.deliver.p50),
      ratio((run) => run.deliver.p99),
      ratio((run) => run.confirm.p50),
      ratio((run) => run.confirm.p99),
      ratio((run) => run.brokerMicroseconds),
    ])
  }
  return table(`Latency: one durable message of ${sizeText(size)} in flight, from publish`, [head, ...rows])
}

/** @param {any[]} rounds @param {(round: any) => { p50: number, p99: number }} pick */
function latencyCells(rounds, pick) {
  return [
    milliseconds(medianOf(rounds, (round) => pick(round).p50)),
    milliseconds(medianOf(rounds, (round) => pick(round).p99)),
  ]
}

/** @param {number} value */
function milliseconds(value) {
  return value < 0.1 ? value.toFixed(4) : value.toFixed(2)
}

/**
 * @param {{ engine: string, size: number, rounds: any[] }[]} rows
 * @param {{ window: number, concurrency: number }} settings
 */
export function inProcessTable(rows, settings) {
  const head = ['in process', 'msg/s', 'CPU µs/msg', 'RSS MiB', 'stored p50, ms', 'p99', 'handled p50, ms', 'p99']
  const body = rows.map(({ engine, size, rounds }) => [
    `${engine} ${sizeText(size)}`,
    rateCell(rounds, (round) => round.throughput.rate),
    shortNumber(medianOf(rounds, (round) => round.throughput.cpuMicrosecondsPerMessage)),
    medianOf(rounds, (round) => round.throughput.residentMiB).toFixed(0),
    ...latencyCells(rounds, (round) => round.latency.stored),
    ...latencyCells(rounds, (round) => round.latency.handled),
  ])
  const { window, concurrency } = settings
  const title = `In process, no AMQP: ${window} sends in flight, ${concurrency} handlers; latency with one in flight`
  return table(title, [head, ...body])
}

/**
 * @param {number} concurrency @param {{ name: string }[]} systems  the first is what the others are compared with
 * @param {any[]} rounds
 */
export function jobQueueTable(concurrency, systems, rounds) {
  const [first] = systems
  const head = ['', 'msg/s', 'CPU µs/msg: Node', 'server', 'messages', first ? `${first.name} is` : '']
  const rows = systems.map(({ name }) => [
    name,
    rateCell(rounds, (round) => round[name].rate),
    shortNumber(medianOf(rounds, (round) => round[name].cpuMicroseconds)),
    shortNumber(medianOf(rounds, (round) => round[name].serverMicroseconds)),
    rateText(medianOf(rounds, (round) => round[name].messages)),
    name === first?.name
      ? ''
      : `${shortNumber(medianOf(rounds, (round) => round[first?.name ?? ''].rate / round[name].rate))}×`,
  ])
  const handlers = concurrency === 1 ? 'one handler' : `${concurrency} handlers`
  return table(`${handlers} at a time: sent, handled and acknowledged`, [head, ...rows])
}

/** @param {{ name: string }[]} systems @param {any[]} rounds */
export function jobQueueLatencyTable(systems, rounds) {
  const head = ['one message at a time, ms', 'stored p50', 'p99', 'handler begins p50', 'p99']
  const rows = systems.map(({ name }) => [
    name,
    ...latencyCells(rounds, (round) => round[name].stored),
    ...latencyCells(rounds, (round) => round[name].begun),
  ])
  return table('Latency, from the call of send', [head, ...rows])
}

/** @param {string} title @param {{ name: string }[]} targets  the last is the one that finds its number @param {any[]} rounds */
export function autoTable(title, targets, rounds) {
  const fixed = targets.slice(0, -1)
  const rows = targets.map(({ name }) => {
    const isFixed = name !== 'auto'
    const limits = rounds.map((round) => round[name].concurrency.limit)
    // In one round all met the same weather. What others took is no loss.
    const lossOf = (/** @type {'rate' | 'fromStart'} */ figure) =>
      median(rounds.map((round) => 1 - round.auto[figure] / Math.max(...fixed.map((one) => round[one.name][figure]))))
    return [
      isFixed ? name : `auto: ${limits.join(', ')}`,
      rateCell(rounds, (round) => round[name].rate),
      rateCell(rounds, (round) => round[name].fromStart),
      shortNumber(medianOf(rounds, (round) => round[name].handlerMs)),
      isFixed
        ? ''
        : `${(lossOf('rate') * 100).toFixed(1)} %, with the search ${(lossOf('fromStart') * 100).toFixed(1)} %`,
    ]
  })
  return table(title, [['at a time', 'msg/s', 'from the start', 'ms each', 'loss against the best'], ...rows])
}
