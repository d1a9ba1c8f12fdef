import type { FanfareError } from './errors.ts';
import { type Answer, ask, framesOf, makeCursor } from './http.ts';
import type { Frame, Opener } from './link.ts';
import { publicClient } from './public-client.ts';
import { type Reader, readOn, type Sub } from './streams.ts';
import type { Off, TransportName } from './types.ts';

/** Channels that one request may name. */
const PER_REQUEST = 16;
/** A membership without an open stream or poll lasts 30 s; it is renewed this often, ms. */
const LEASE = 20_000;

/** The requests that commands are. */
const COMMANDS: Record<string, string> = {
  publish: 'POST messages',
  call: 'POST call',
  enter: 'PUT presence',
  leave: 'DELETE presence',
  history: 'GET messages',
  members: 'GET presence',
};

/**
 * SSE, long-poll or poll for what comes, and requests for what goes, behind the frames of a WebSocket. The past of a subscription is
 * always read by a poll, which tells where the channel stands; from there on it joins a stream of channels with the same
 * options. So streams can be cut and opened anew at their cursor whenever channels come and go, or a token changes.
 */
export const openHttp =
  (name: TransportName): Opener =>
  (context, { _open, _frame: tell, _closed: end }) => {
    const subs = new Map<string, Sub>();
    /** By what they read. */
    let streams = new Map<string, Off>();
    /** Commands of one channel take effect in order: each waits for the one before. */
    const chains = new Map<string, Promise<unknown>>();
    const entered = new Map<string, Frame>();
    const lease = context._core._timer();
    const stop = new AbortController();
    const { signal } = stop;
    let proven = false;

    /** Brings what is read to what is wanted. */
    const arrange = () => {
      if (signal.aborted) return;
      const counts: Record<string, number> = {};
      const groups: Record<string, Sub[]> = {};
      for (const sub of subs.values()) {
        const { _options, _token, _at, _last, _since, _reading } = sub;
        if (_reading) continue;
        // Channels with the same options, as many as one request may name.
        const alike = JSON.stringify([_options, _token, _at ? 0 : [_last, !_since]]);
        const count = (counts[alike] = (counts[alike] ?? -1) + 1);
        (groups[alike + Math.floor(count / PER_REQUEST)] ??= []).push(sub);
      }
      const before = streams;
      streams = new Map();
      for (const [key, group] of Object.entries(groups)) {
        const id = key + group.map(sub => sub._channel);
        if (!group[0]!._at) begin(group);
        else streams.set(id, before.get(id) ?? readOn(reader, group));
      }
      for (const [id, off] of before) if (!streams.has(id)) off();
    };

    /** Reads the past of channels alike, and then lets them join streams. */
    const begin = async (group: Sub[]) => {
      const [{ _options, _token: token, _last: last, _since }] = group as [Sub];
      const frames: Frame[] = [];
      let page: Answer;
      let since = _since && makeCursor(group.map(sub => sub._since));
      for (const sub of group) sub._reading = true;
      try {
        do {
          const fields = { ..._options, last, since };
          page = await ask(
            context,
            'poll',
            group.map(sub => sub._channel),
            fields,
            { signal, token },
          );
          frames.push(...framesOf(page));
          since = page.cursor;
        } while (page.poll_after_ms === 0 && page.messages.length);
      } catch (error) {
        return refuse(group, error as FanfareError);
      }
      since!.split('~').forEach((at, i) => {
        const sub = group[i]!;
        const { _channel: channel, _ref: ref } = sub;
        sub._reading = false;
        // Unsubscribed or asked anew meanwhile.
        if (subs.get(channel) !== sub) return;
        const own = frames.filter(frame => frame.channel === channel);
        const replay = own.filter(({ type }) => type === 'message').length;
        const [epoch, offset] = at.split('-');
        tell({ type: 'subscribed', ref, channel, epoch, offset: Number(offset), replay });
        own.forEach(tell);
        sub._at = at;
      });
      // Short polls have nothing further to prove; a stream does so itself.
      if (name !== 'sse') reader._works();
      arrange();
    };

    /** Several that are refused together are asked one by one, so that only those that deserve it are refused. */
    const refuse = (group: Sub[], error: FanfareError) => {
      const { code } = error;
      const [{ _token, _at, _channel: channel, _ref: ref }, more] = group as [Sub, Sub?];
      const unfit = code === 'unsupported';
      // Without a token, `unauthorized` is a right that is missing; with one, it is the token. A channel's own token is its own matter.
      if (
        error.retryable ||
        unfit ||
        (context._token && !_token && /^(unauthorized|token_expired|revoked)$/.test(code))
      )
        return end(error, unfit);
      const left = group.filter(sub => subs.get(sub._channel) === sub);
      if (more) for (const sub of left) begin([sub]);
      else if (left[0]) {
        subs.delete(channel);
        tell({ type: _at ? 'unsubscribed' : 'error', ref, channel, code, _error: error });
        // A refusal is an answer: the hub is there.
        if ([...subs.values()].every(other => other._at)) reader._works();
      }
      arrange();
    };

    const reader: Reader = {
      _context: context,
      _name: name,
      _works() {
        if (proven) return;
        proven = true;
        // A WebSocket is told its public name; here it is computed.
        publicClient(context._session)
          .catch(() => undefined)
          .then(client => tell({ type: 'welcome', client }));
      },
      _frame(frame) {
        const { epoch, offset } = frame;
        const sub = subs.get(frame.channel);
        if (sub?._at && offset != null) sub._at = `${epoch ?? sub._at.split('-')[0]}-${offset}`;
        tell(frame);
      },
      _refuse: refuse,
      _end: end,
    };

    /** Runs a command as its request, after those of the same channel before it. */
    const command = (frame: Frame) => {
      const { type, ref, channel, token, ...fields } = frame;
      const [method, endpoint] = COMMANDS[type]!.split(' ') as [string, string];
      const reads = method === 'GET';
      if (type === 'enter') {
        entered.set(channel, frame);
        if (!lease._running) hold();
      }
      if (type === 'leave') entered.delete(channel);
      const run = Promise.resolve(reads || chains.get(channel))
        .then(() =>
          signal.aborted
            ? {}
            : ask(context, endpoint, [channel], reads ? fields : {}, {
                method,
                body: reads ? undefined : fields,
                token,
              }),
        )
        .then(
          answer => tell({ ...answer, type: 'ok', ref }),
          error => {
            if (/^(network|token_expired)$/.test(error.code)) end(error);
            else tell({ type: 'error', ref, _error: error });
          },
        );
      if (!reads) chains.set(channel, run);
    };
    const hold = () =>
      lease(() => {
        hold();
        if (name === 'poll' || !streams.size)
          for (const frame of entered.values()) command({ ...frame, ref: undefined });
      }, LEASE);

    const cut = () => {
      for (const off of streams.values()) off();
      streams.clear();
    };
    const refresh = () => {
      cut();
      arrange();
    };

    queueMicrotask(() => {
      _open();
      // Nothing to read: any answer of the hub, also that a channel is missing, proves the way.
      if (!subs.size && !signal.aborted)
        ask(context, 'poll', [], {}, { signal })
          .catch(error => {
            if (error.code !== 'bad_request') throw error;
          })
          .then(reader._works, end);
    });
    return {
      _send(frame) {
        const { type, channel, token, ref, since, last, ..._options } = frame;
        if (type === 'subscribe') {
          const _since = since ?? subs.get(channel)?._at;
          subs.set(channel, { _channel: channel, _ref: ref, _token: token, _since, _last: last, _options });
          // Those that are asked for in the same breath are read together.
          queueMicrotask(arrange);
        } else if (type === 'unsubscribe' || type === 'auth') {
          if (type === 'auth') {
            context._token = token;
            cut();
          } else subs.delete(channel);
          arrange();
          tell({ type: 'ok', ref });
        } else command(frame);
      },
      _refresh: refresh,
      _close() {
        lease();
        stop.abort();
        cut();
      },
    };
  };
