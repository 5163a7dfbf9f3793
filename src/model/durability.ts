/**
 * When a confirm, or another answer that something is stored, leaves:
 *
 * - `fsync`: it is on the disk; it survives a power cut.
 * - `write`: it is with the operating system; it survives the end of the process, not that of the machine.
 * - `none`: at the end of the turn; what a process that dies has not written yet is lost.
 *
 * Where that is before it is on the disk, it gets there within `limits.syncDelayMs`; what is lost is always the newest.
 */
export type Durability = 'fsync' | 'write' | 'none'

/**
 * When a persistent message in a durable queue may be handed out: as soon as it is accepted, or (`sync`) when it is on the
 * disk, at every level. Where syncing is put off that is up to a second later.
 */
export type DeliverAfter = 'accept' | 'sync'

export const durabilityLevels: readonly Durability[] = ['fsync', 'write', 'none']
export const deliveryTimes: readonly DeliverAfter[] = ['accept', 'sync']
