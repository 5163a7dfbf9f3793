/** What a Leveret says of itself in connection.start, beyond what every broker does. */

/** The largest body it takes, in bytes. */
export const messageBytesMaxProperty = 'leveret_message_bytes_max'
