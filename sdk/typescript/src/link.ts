import type { Core } from './core.ts';
import { errorOf, type FanfareError, fromWire } from './errors.ts';
import type { Status } from './types.ts';

/** A frame of the protocol, in either direction. */
// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type Frame = { type: string; [field: string]: any };

/** What a transport tells. After `closed`, or once it was closed, nobody hears. */
export interface TransportEvents {
  /** Frames can be sent. */
  _open(): void;
  /** The first frame is `welcome`: from then on the link works. */
  _frame(frame: Frame): void;
  /** It has ended. `unfit`: it does not work here. */
  _closed(error: FanfareError, unfit?: boolean): void;
}

/** What a transport is opened with. */
export interface LinkContext {
  _core: Core;
  _session: string;
  _token: string | undefined;
  /** A transport that opens but says nothing for so long loses, ms. */
  _mute: number;
}

/** Whatever it is, it speaks the frames of the WebSocket protocol, so that nothing above knows which one it is. */
export interface Transport {
  _send(frame: Frame): void;
  /**
   * Makes sure now that what it waits on still lives. Transports without it answer `ping`: there silence can be told from death by
   * asking.
   */
  _refresh?(): void;
  _close(): void;
}

export type Opener = (context: LinkContext, events: TransportEvents) => Transport;

/** Called once with the answer to a command, or with an error when the link ends (`network`) or nothing comes (`timeout`). */
export type Done = (error: FanfareError | undefined, frame: Frame) => void;

/** One way to the hub. Commands may be sent at once; they wait until it is open. */
export interface Link {
  readonly _name: NonNullable<Status['transport']>;
  _request(frame: Frame, done: Done, timeout?: number): void;
  /** Is anybody there? */
  _probe(): void;
  /** Ends it without a `closed`. What was asked is told so. */
  _close(cause?: FanfareError): void;
}

export interface LinkEvents {
  /** The first `welcome`. */
  _up(welcome: Frame): void;
  /** What answers nothing that was asked. */
  _frame(frame: Frame): void;
  _closed(error: FanfareError, unfit?: boolean): void;
}

const SILENT = 'the connection is silent';

/** How long an answer may take when we ask out of doubt. ms. */
const PROBE = 3000;

/** Opens a transport, and keeps what is waiting on it: commands that were not sent or answered yet, and whether it lives. */
export function openLink(
  _name: Link['_name'],
  opener: Opener | Promise<Opener>,
  context: LinkContext,
  { _up, _frame, _closed }: LinkEvents,
): Link {
  const { _core: core, _mute } = context;
  const { _meter: meter, _now: now } = core;
  const asked = new Map<number, (error?: FanfareError, answer?: Frame) => void>();
  /** Until it is up, for the first word; then for the next silence. */
  const timer = core._timer();
  /** What came before `welcome`: the past, over HTTP. */
  const held: Frame[] = [];
  let transport: Transport | undefined;
  let waiting: Frame[] | undefined = [];
  let up = false;
  let ended = false;
  let refs = 0;
  let heard = 0;
  let ping = 25_000;

  const lost = (detail: string, unfit?: boolean) => _closed(errorOf('network', detail), unfit);
  const send = (frame: Frame) => {
    if (waiting) waiting.push(frame);
    else if (!ended) transport!._send(frame);
  };
  const request: Link['_request'] = (frame, done, timeout) => {
    const ref = ++refs;
    const began = now();
    const late = core._timer();
    asked.set(ref, (error, answer = frame) => {
      asked.delete(ref);
      late();
      if (answer.type === 'error') {
        error = (answer._error as FanfareError) ?? fromWire(answer);
        error.channel ??= frame.channel;
      }
      if (!error) meter._roundTrip._add(now() - began);
      done(error, answer);
    });
    if (timeout)
      late(() => {
        probe();
        asked.get(ref)?.(errorOf('timeout', `no answer to ${frame.type}`));
      }, timeout);
    send({ ...frame, ref });
  };
  /** Asks after `ping` of silence, and gives up after one and a half. */
  const watch = () => {
    const left = heard + ping - now();
    if (left > 0) timer(watch, left);
    else probe(ping / 2);
  };
  const probe = (within = PROBE) => {
    if (transport?._refresh) return transport._refresh();
    const since = now();
    timer(() => (heard > since ? watch() : lost(SILENT)), within);
    request({ type: 'ping' }, (error, { time }) => {
      if (error) return;
      core._connection._clockTold(time);
      watch();
    });
  };
  const took = (frame: Frame) => {
    if (ended) return;
    heard = now();
    if (up) (asked.get(frame.ref) ?? ((_, it) => _frame(it!)))(undefined, frame);
    else if (frame.type !== 'welcome') held.push(frame);
    else {
      up = true;
      ping = frame.ping_ms ?? ping;
      timer();
      if (!transport!._refresh) watch();
      _up(frame);
      for (const one of held) took(one);
    }
  };

  timer(() => lost(SILENT, true), _mute);
  const start = (open: Opener) => {
    if (!ended)
      transport = open(context, {
        _open() {
          for (const frame of waiting!) transport!._send(frame);
          waiting = undefined;
        },
        _frame: took,
        _closed: (error, unfit) => ended || _closed(error, unfit),
      });
  };
  if (opener instanceof Promise) opener.then(start, error => ended || lost(`${_name}: ${error}`));
  else start(opener);
  return {
    _name,
    _request: request,
    _probe: () => probe(),
    _close(cause) {
      ended = true;
      timer();
      transport?._close();
      for (const answer of [...asked.values()]) answer(errorOf('network', cause?.message, { cause }));
    },
  };
}
