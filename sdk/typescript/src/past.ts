import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Frame } from './link.ts';
import type { Item, Subscriber } from './subscriber.ts';
import type { Gap, HistoryOptions, Message } from './types.ts';

// This is loaded when the past is first asked for. It imports nothing of the core, so that the core stays in one piece.

/** What one request may ask for. */
const PAGE = 1000;

/** The newest messages that a late listener gets. */
const NEWEST = 10_000;

interface Page {
  _messages: Message[];
  _epoch: string;
  _gap: Gap | undefined;
}

/** The past page by page, towards now with `since`, else away from it; asked for again while connections come and go. */
async function* pages(
  core: Core,
  { name: channel }: ClientChannel,
  { since, before, page: limit, signal }: HistoryOptions,
): AsyncGenerator<Page> {
  const { _connection: connection } = core;
  const reverse = since == null || undefined;
  for (;;) {
    if (signal?.aborted) throw core._error('aborted');
    await connection._use();
    try {
      const request = { type: 'history', channel, since, before, limit, reverse };
      const { messages, epoch, offset, more, gap } = await connection._ask(request);
      const first = messages[0]?.offset ?? offset + 1;
      const _messages: Message[] = messages.map((message: Frame) => core._toMessage(message, epoch, true));
      yield {
        _messages,
        _epoch: epoch,
        _gap: gap && { channel, reason: 'expired', position: `${epoch}-${first - 1}` },
      };
      const last = _messages.at(-1);
      if (!more || !last) return;
      if (reverse) before = last.position;
      else since = last.position;
    } catch (error) {
      if ((error as FanfareError).code !== 'network') throw error;
      // Closed on purpose: what was asked before does not open it again.
      if (connection._status.value.state === 'idle') throw core._error('closed', undefined, { channel });
    }
  }
}

/** The past of a channel as `channel.history` gives it. */
export async function* history(core: Core, channel: ClientChannel, options: HistoryOptions): AsyncGenerator<Message> {
  const { event, limit = Infinity, page = 100, onGap } = options;
  let left = limit;
  if (left > 0)
    for await (const { _messages, _gap } of pages(core, channel, { ...options, page })) {
      if (_gap) await onGap?.(_gap);
      for (const raw of _messages) {
        const message = event == null || raw.event === event ? await channel._validate(raw) : undefined;
        if (!message) continue;
        yield message;
        if (--left <= 0) return;
      }
    }
}

/** What a late listener's past is, up to where live takes over. */
export async function before(
  core: Core,
  channel: ClientChannel,
  { _options: { since, last = 0, signal }, _placed: raw }: Subscriber,
  epoch: string,
  upTo: number,
): Promise<Item[]> {
  const past: Item[] = [];
  const found: Message[] = [];
  const wanted = since ? Infinity : Math.min(last, NEWEST);
  const range = since ? { since } : { before: `${epoch}-${upTo + 1}` };
  const page = Math.min(PAGE, wanted);
  if (wanted)
    for await (const { _messages, _epoch, _gap } of pages(core, channel, { ...range, page, signal })) {
      const same = _epoch === epoch;
      if (since && (_gap || !same))
        past.push({ _gap: _gap ?? { channel: channel.name, reason: 'epoch', position: `${epoch}-${upTo}` } });
      if (!same) break;
      found.push(..._messages);
      if (found.length >= wanted || (since && (found.at(-1)?.offset ?? 0) >= upTo)) break;
    }
  if (!since) found.splice(wanted, NEWEST), found.reverse();
  for (const message of found) {
    const valid = message.offset! <= upTo && (raw ? message : await channel._validate(message));
    if (valid) past.push({ _message: valid });
  }
  return past;
}
