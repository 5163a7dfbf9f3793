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
