import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { rulesOf } from './schema.ts';
import type { Sequence } from './sequence.ts';
import type { Listeners, Value } from './store.ts';
import type { Member, PresenceEvent, PresenceState } from './types.ts';
import { type Checked, check, checkInput, tellInvalid } from './validate.ts';

// This is loaded when presence is first wanted. It imports nothing of the core, so that the core stays in one piece.

/** What we entered with, who we were, and on which link it was said. */
interface Entered {
  _data: unknown;
  _user?: string;
  _link?: Link;
  _said?: Promise<unknown>;
}

/** What makes up a channel's presence, and ourselves in it. */
export interface Membership {
  /** Rejects what is not fit to enter with. */
  _check(data: unknown): Promise<void>;
  _enter(data: unknown): Promise<void>;
  _leave(): Promise<void>;
  _entered(): boolean;
  _frame(frame: Frame): void;
  /** A link is up: says again that we are there. */
  _reenter(): void;
  /** Nobody knows who is there. `forget`: neither are we. */
  _clear(forget?: boolean): void;
}

/** `order`: validation may take its time; frames are applied in order. */
export function membershipOf(
  core: Core,
  channel: ClientChannel,
  state: Value<PresenceState>,
  events: Listeners<PresenceEvent>,
  order: Sequence,
): Membership {
  const { _connection: connection } = core;
  const { name } = channel;
  const { presence: schema } = rulesOf(core, channel);
  let byClient = new Map<string, Member>();
  /** The pages of a list that is still coming. */
  let pages: Map<string, Member> | undefined;
  /** What we entered with; the reference is new for each `enter`. */
  let entered: Entered | undefined;

  const say = (mine: Entered) => {
    if (mine._link !== connection._link || !mine._said) {
      mine._link = connection._link;
      mine._user = connection._user;
      mine._said = channel
        ._withToken({ type: 'enter', channel: name, data: mine._data ?? null })
        .then((frame): unknown => entered === mine && connection._ask(frame));
    }
    return mine._said;
  };
  return {
    _check: data => checkInput(core, schema, data, name),
    async _enter(data) {
      const mine: Entered = (entered = { _data: data });
      // Lost on the way or not connected yet: it is said again by whoever notices first, once for each link.
      while (entered === mine) {
        try {
          await connection._use();
          await say(mine);
          return;
        } catch (error) {
          if ((error as FanfareError).code === 'network' && connection._status.value.state !== 'failed') continue;
          if (entered === mine) entered = undefined;
          throw error;
        }
      }
    },
    async _leave() {
      const was = entered;
      entered = undefined;
      if (was && connection._link)
        await connection._ask({ type: 'leave', channel: name }).catch((error: FanfareError) => {
          // Gone with the connection, or never there: left is left.
          if (error.code !== 'network' && error.code !== 'not_found') throw error;
        });
    },
    _entered: () => !!entered,
    _reenter() {
      // What one user entered with is not another's.
      if (entered?._said && entered._user !== connection._user) entered = undefined;
      if (entered)
        say(entered).catch(({ code }: FanfareError) => {
          if (code !== 'network') core._meter._log('enter refused', `${name}: ${code}`);
        });
    },
    _clear(forget) {
      byClient.clear();
      if (forget) entered = undefined;
    },
    _frame({ action, more, count, users, members: raw }) {
      const checks = (raw as Frame[]).map(member => check(schema, member.data));
      order<Checked>(checks, done => {
        const present = action === 'present';
        const members = (raw as Frame[]).flatMap(({ client, user, info, data, entered_at: enteredAt }, i): Member[] => {
          const { value, issues } = done[i]!;
          // Who leaves takes no data along that would have to be right.
          if (!issues || action === 'leave') return [{ client, user, info, data: issues ? data : value, enteredAt }];
          tellInvalid(core, { channel: name, data, issues });
          return [];
        });
        if (present) pages ??= new Map();
        for (const map of present ? [pages] : [byClient, pages])
          for (const member of members)
            if (action === 'leave') map?.delete(member.client);
            else map?.set(member.client, member);
        if (!present || !more) {
          if (present) {
            byClient = pages!;
            pages = undefined;
          }
          state._set({ members: [...byClient.values()].sort((a, b) => a.enteredAt - b.enteredAt), count, users });
        }
        events._tell({ action, members });
      });
    },
  };
}
