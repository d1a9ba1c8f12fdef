'use client';
/**
 * Hooks for React 18 and 19. Mounting twice (StrictMode), hot reloads and routes that come back find what was there: what the
 * last component lets go of stays for a second. Nothing happens while rendering, on the server or in a component that suspends.
 */
export { FanfareProvider, type Register, useChannel, useClient } from './context.ts';
export { type Messages, type UseMessagesOptions, useMessages } from './messages.ts';
export { type UsePresenceOptions, useConnection, useEntries, usePresence } from './state.ts';
