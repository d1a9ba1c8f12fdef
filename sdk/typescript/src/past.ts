import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Frame } from './link.ts';
import type { Item, Subscriber } from './subscriber.ts';
import type { Gap, HistoryOptions, Message, Position } from './types.ts';

// This is loaded when the past is first asked for. It imports nothing of the core, so that the core stays in one piece.

/** What one request may ask for. */
const PAGE = 1000;

interface Page {
  _messages: Message[];
  _epoch: string;
  _more: boolean;
  _gap: Gap | undefined;
}

/** One page of the past; asked again while connections come and go. */
async function readPage(
  core: Core,
  { name: channel }: ClientChannel,
  request: { since?: Position; before?: Position; limit: number; reverse?: true },
  signal: AbortSignal | undefined,
): Promise<Page> {
  const { _connection: connection } = core;
  for (;;) {
    if (signal?.aborted) throw core._error('aborted');
    await connection._use();
    try {
      const { messages, epoch, offset, more, gap } = await connection._ask({ type: 'history', channel, ...request });
      const before = (messages[0]?.offset ?? offset + 1) - 1;
      return {
        _messages: messages.map((message: Frame) => core._toMessage(message, epoch, true)),
        _epoch: epoch,
        _more: more && messages.length,
        _gap: gap && { channel, reason: 'expired', position: `${epoch}-${before}` },
      };
    } catch (error) {
      if ((error as FanfareError).code !== 'network') throw error;
      // Closed on purpose: what was asked before does not open it again.
      if (connection._status.value.state === 'idle') throw core._error('closed', undefined, { channel });
    }
  }
}

/** The past of a channel as `channel.history` gives it. */
export async function* history(core: Core, channel: ClientChannel, options: HistoryOptions): AsyncGenerator<Message> {
  const { event, limit = Infinity, page = 100, onGap, signal } = options;
  let { since, before } = options;
  const reverse = since === undefined || undefined;
  for (let given = 0; given < limit; ) {
    const { _messages, _gap, _more } = await readPage(core, channel, { since, before, limit: page, reverse }, signal);
    if (_gap) await onGap?.(_gap);
    for (const raw of _messages) {
      if (event !== undefined && raw.event !== event) continue;
      const message = await channel._validate(raw);
      if (!message) continue;
      yield message;
      if (++given >= limit) return;
    }
    if (!_more) return;
    const { position } = _messages.at(-1)!;
    if (reverse) before = position;
    else since = position;
  }
}

/** What a late listener's past is, up to where live takes over. */
export async function before(
  core: Core,
  channel: ClientChannel,
  { _options: { since, last = 0, signal }, _raw }: Subscriber,
  epoch: string,
  upTo: number,
): Promise<Item[]> {
  const past: Item[] = [];
  const reverse = since === undefined || undefined;
  const pages: Message[][] = [];
  let missing = Math.min(last, 10_000);
  let at: Position | undefined = reverse ? `${epoch}-${upTo + 1}` : since;
  for (let more = !reverse || missing > 0; more; ) {
    const request = reverse ? { before: at, reverse, limit: Math.min(PAGE, missing) } : { since: at, limit: PAGE };
    const { _messages, _gap, _epoch, _more } = await readPage(core, channel, request, signal);
    const same = _epoch === epoch;
    if (!reverse && (_gap || !same))
      past.push({ _gap: _gap ?? { channel: channel.name, reason: 'epoch', position: `${epoch}-${upTo}` } });
    if (!same) break;
    const end = _messages.at(-1);
    missing -= _messages.length;
    if (reverse) pages.unshift(_messages.reverse());
    else pages.push(_messages);
    at = end?.position;
    more = _more && (reverse ? missing > 0 : end!.offset! < upTo);
  }
  for (const message of pages.flat()) {
    const valid = message.offset! <= upTo && (_raw ? message : await channel._validate(message));
    if (valid) past.push({ _message: valid });
  }
  return past;
}
