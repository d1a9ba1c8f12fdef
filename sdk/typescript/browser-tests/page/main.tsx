import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import * as fanfare from '../../src/index.ts';
import { FanfareProvider, useChannel, useConnection, useMessages, usePresence } from '../../src/react/index.ts';
import type { AnyClient, Message } from '../../src/types.ts';

/** What a test finds on the page. */
export interface Page {
  fanfare: typeof fanfare;
  client: AnyClient;
  got: unknown[];
  errors: unknown[];
  gaps: unknown[];
  /** What the client is given when it asks for a token. */
  token: string | undefined;
  /** Makes `client` and gathers the data of what comes on the channel in `got`. */
  listen(channel: string, options?: fanfare.ClientOptions, subscribe?: fanfare.SubscribeOptions): void;
  /** Shows a room with the hooks, in StrictMode. */
  mount(channel: string, name: string): void;
  unmount(): void;
}

const page: Page = {
  fanfare,
  client: undefined as never,
  got: [],
  errors: [],
  gaps: [],
  token: undefined,
  listen(channel, options, subscribe) {
    page.client ??= fanfare.createClient(location.origin, { token: () => page.token, ...options });
    page.client.channel(channel).subscribe((message: Message) => page.got.push(message.data), {
      onGap: gap => void page.gaps.push(gap),
      onError: error => void page.errors.push(error.code),
      ...subscribe,
    });
  },
  mount(channel, name) {
    page.client ??= fanfare.createClient(location.origin);
    root = createRoot(document.querySelector('main')!);
    root.render(
      <StrictMode>
        <FanfareProvider client={page.client}>
          <Room channel={channel} name={name} />
        </FanfareProvider>
      </StrictMode>,
    );
  },
  unmount: () => root?.unmount(),
};
let root: ReturnType<typeof createRoot> | undefined;

function Room({ channel, name }: { channel: string; name: string }) {
  const room = useChannel(channel, { presence: true });
  const { messages, loadMore } = useMessages(room, { last: 2 });
  const names = usePresence(room, ({ members }) => members.map(member => String(member.data)), { enter: name });
  const state = useConnection(status => status.state);
  return (
    <>
      <output>{state}</output>
      <ul>
        {messages.map(message => (
          <li key={message.position}>{String(message.data)}</li>
        ))}
      </ul>
      <b>{names.join()}</b>
      <button type="button" onClick={() => loadMore()}>
        more
      </button>
    </>
  );
}

Object.assign(window, { page });
