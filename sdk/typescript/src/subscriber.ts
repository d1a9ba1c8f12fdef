import { makeBatch } from './batch.ts';
import type { Core } from './core.ts';
import type { FanfareErrorFields, Gap, Message, SubscribeOptions } from './types.ts';

/** Delivery waits so long for the promise of an `onGap`, ms. */
const GAP_WAIT = 10_000;

/** What comes down a channel, in order. */
export type Item = { _message: Message; _gap?: undefined } | { _gap: Gap; _message?: undefined };

/** One who listens to a channel: holds back what may not be delivered yet, and delivers the rest in order. */
export interface Subscriber {
  readonly _options: SubscribeOptions;
  /** Messages up to this offset are not for this one. `undefined`: decided when the channel knows where it stands. */
  _floor: number | undefined;
  /** The subscribe frame that asked for this one's past too. */
  _asked?: object;
  /**
   * Told where this one begins, and how many messages of the past it gets. Only another tab's has it: that gets messages as the hub
   * sent them, and validates them itself.
   */
  readonly _placed?: (epoch: string, offset: number, replay: number) => void;
  /** Something new. */
  _push(item: Item): void;
  /** History is read first: what comes meanwhile waits. The function ends that, with what came of it. */
  _hold(): (past: Item[]) => void;
  _error(error: Error & FanfareErrorFields): void;
  _end(): void;
}

export function subscriberOf(
  core: Core,
  event: string | undefined,
  handler: (messages: Message[]) => void,
  options: SubscribeOptions,
  placed?: Subscriber['_placed'],
): Subscriber {
  const { _guard: guard } = core;
  const call = (messages: Message[]) => {
    if (!ended) guard(() => handler(messages));
  };
  const batch = options.batch == null ? undefined : makeBatch(core, options, call);
  let held: Item[] = [];
  /** What keeps it from going on. */
  let blocked = 0;
  let joining = false;
  let ended = false;

  const release = () => {
    if (blocked) blocked--;
    drain();
  };
  const drain = () => {
    while (!blocked && held.length) deliver(held.shift()!);
  };
  const deliver = ({ _message: message, _gap: gap }: Item) =>
    guard(() => {
      if (message) {
        if (event == null || message.event === event) (batch ? batch._add : (it: Message) => call([it]))(message);
        return;
      }
      // What was gathered came before the gap.
      batch?._flush();
      const result = options.onGap?.(gap!);
      if (typeof (result as Promise<unknown> | undefined)?.then !== 'function') return;
      const timer = core._timer();
      blocked++;
      Promise.race([result, new Promise<void>(resolve => timer(resolve, GAP_WAIT))])
        .catch(core._threw)
        .then(() => {
          timer();
          release();
        });
    });

  return {
    _options: options,
    _floor: undefined,
    _placed: placed,
    _push(item) {
      if (ended) return;
      held.push(item);
      if (held.length > (options.buffer ?? 1000)) {
        // Full. Waiting for a promise is a courtesy; waiting for history is not, so there the oldest go, and that is told.
        if (joining) {
          const at = held.findIndex(({ _gap }) => !_gap);
          const { channel, position = '' } = held[at]!._message!;
          const told = held[at - 1]?._gap?.reason === 'overflow' ? 1 : 0;
          held.splice(at - told, 1 + told, { _gap: { channel, reason: 'overflow', position } });
        } else blocked = 0;
      }
      drain();
    },
    _hold() {
      blocked++;
      joining = true;
      return past => {
        joining = false;
        held.unshift(...past);
        release();
      };
    },
    _error(error) {
      if (!ended) guard(() => options.onError?.(error));
    },
    _end() {
      ended = true;
      held = [];
      batch?._stop();
    },
  };
}
