// All conversations, in the order of their sections.

import type { Conversation } from '../talk.ts'
import { accessConversations } from './access.ts'
import { channelConversations } from './channels.ts'
import { connectionConversations } from './connection.ts'
import { consumingConversations } from './consuming.ts'
import { exchangeConversations } from './exchanges.ts'
import { framingConversations } from './framing.ts'
import { generatedConversations } from './generated.ts'
import { publishingConversations } from './publishing.ts'
import { queueConversations } from './queues.ts'

export const conversations: readonly Conversation[] = [
  ...connectionConversations,
  ...framingConversations,
  ...channelConversations,
  ...exchangeConversations,
  ...queueConversations,
  ...publishingConversations,
  ...consumingConversations,
  ...accessConversations,
  ...generatedConversations,
]
