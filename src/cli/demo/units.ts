/** Numbers as people read them on a screen that changes: few digits, and always the unit. */

export function rateText(perSecond: number): string {
  return `${perSecond < 10 && perSecond > 0 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`
}

export function timeText(ms: number): string {
  if (ms < 1) return ms <= 0 ? '0 ms' : '< 1 ms'
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
