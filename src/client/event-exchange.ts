/** Where events are published, with their names as routing keys: every broker has it. */
export const eventExchange = 'amq.topic'
