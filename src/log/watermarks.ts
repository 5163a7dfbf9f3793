/** The two numbers that opening a log is about. Every valid header, of a segment or of a frame, is a witness for them. */
export class Watermarks {
  /** The highest LSN that is known to be durable. */
  syncedLsn = 0
  /** The highest LSN that may stand anywhere on the disk. */
  usedLsn = 0

  noteSynced(lsn: number): void {
    this.syncedLsn = Math.max(this.syncedLsn, lsn)
  }

  noteUsed(lsn: number): void {
    this.usedLsn = Math.max(this.usedLsn, lsn)
  }
}
