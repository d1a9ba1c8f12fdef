import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import type { Membership } from './membership.ts';
import { sequence } from './sequence.ts';
import { listeners, storeOf } from './store.ts';
import type { Presence, PresenceEvent, PresenceState } from './types.ts';

const NOBODY: PresenceState = { members: [], count: 0, users: 0 };

/** Who is there, and whether we are, as the application sees it. */
export interface ChannelPresence extends Presence {
  /** What keeps it, once its code is here. */
  _membership(): Membership | undefined;
  /** Nobody knows who is there. `forget`: neither are we. */
  _clear(forget?: boolean): void;
}

export function channelPresence(core: Core, channel: ClientChannel): ChannelPresence {
  const state = storeOf(NOBODY, core._guard);
  const events = listeners<PresenceEvent>(core._guard);
  let checked: Promise<unknown> | undefined;
  let membership: Membership | undefined;

  const get = () => (membership ??= core._code.membership?.membershipOf(core, channel, state, events, sequence()));
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
      return !!membership?._entered();
    },
    subscribe: listener => channel._watch('presence', () => state.subscribe(listener)),
    events: listener => channel._watch('presence', () => events._add(listener)),
    async enter(data) {
      await (checked = core._load('membership').then(() => get()!._check(data)));
      await get()!._enter(data);
    },
    async leave() {
      // An `enter` before it may not have begun yet.
      await checked?.catch(() => {});
      await membership?._leave();
      channel._settle();
    },
    _membership: get,
    _clear(forget) {
      membership?._clear(forget);
      state._set(NOBODY);
    },
  };
}
