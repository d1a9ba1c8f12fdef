import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import { type FanfareError, isNetwork } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { sequence } from './sequence.ts';
import { listeners, storeOf } from './store.ts';
import type { Member, Presence, PresenceEvent, PresenceState, StandardSchemaV1 } from './types.ts';
import { type Checked, check, checkInput } from './validate.ts';

/** What we entered with, who we were, and on which link it was said. */
interface Entered {
  _data: unknown;
  _user?: string;
  _link?: Link;
  _said?: Promise<unknown>;
}

const NOBODY: PresenceState = { members: [], count: 0, users: 0 };

/** Who is there, and whether we are. */
export interface ChannelPresence extends Presence {
  _frame(frame: Frame): void;
  /** A link is up: says again that we are there. */
  _reenter(): void;
  /** Nobody knows who is there. */
  _clear(): void;
  /** Neither are we. */
  _forget(): void;
}

export function channelPresence(
  { _connection: connection, _meter: meter, _guard: guard, _invalid: invalid }: Core,
  channel: ClientChannel,
  schema: StandardSchemaV1 | undefined,
): ChannelPresence {
  const { name } = channel;
  const state = storeOf(NOBODY, guard);
  const events = listeners<PresenceEvent>(guard);
  /** Validation may take its time; frames are applied in order. */
  const order = sequence();
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
        .then(frame => connection._ask(frame));
    }
    return mine._said;
  };
  const clear = () => {
    byClient.clear();
    state._set(NOBODY);
  };

  return {
    get value() {
      return state.value;
    },
    get members() {
      return state.value.members;
    },
    get count() {
      return state.value.count;
    },
    get users() {
      return state.value.users;
    },
    get entered() {
      return !!entered;
    },
    subscribe: listener => channel._watch('presence', () => state.subscribe(listener)),
    events: listener => channel._watch('presence', () => events._add(listener)),
    async enter(data) {
      await checkInput(schema, data, name);
      const mine: Entered = (entered = { _data: data });
      // Lost on the way or not connected yet: it is said again by whoever notices first, once for each link.
      while (entered === mine) {
        try {
          await connection._use();
          await say(mine);
          return;
        } catch (error) {
          if (isNetwork(error) && connection._status.value.state !== 'failed') continue;
          if (entered === mine) entered = undefined;
          throw error;
        }
      }
    },
    async leave() {
      const was = entered;
      entered = undefined;
      if (was && connection._link)
        await connection._ask({ type: 'leave', channel: name }).catch((error: FanfareError) => {
          // Gone with the connection, or never there: left is left.
          if (!isNetwork(error) && error.code !== 'not_found') throw error;
        });
      channel._settle();
    },
    _reenter() {
      // What one user entered with is not another's.
      if (entered?._said && entered._user !== connection._user) entered = undefined;
      if (entered)
        say(entered).catch((error: FanfareError) => {
          if (!isNetwork(error)) meter._log('enter refused', `${name}: ${error.code}`);
        });
    },
    _clear: clear,
    _forget() {
      entered = undefined;
      clear();
    },
    _frame({ action, more, count, users, members: raw }) {
      const checks = (raw as Frame[]).map(member => check(schema, member.data));
      order<Checked>(checks, done => {
        const present = action === 'present';
        const members = (raw as Frame[]).flatMap(({ client, user, info, data, entered_at: enteredAt }, i): Member[] => {
          const { value, issues } = done[i]!;
          // Who leaves takes no data along that would have to be right.
          if (!issues || action === 'leave') return [{ client, user, info, data: issues ? data : value, enteredAt }];
          invalid({ channel: name, data, issues });
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
