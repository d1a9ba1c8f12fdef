import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import { type FanfareError, isNetwork } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { Sequence } from './sequence.ts';
import { Listeners, Value } from './store.ts';
import type { Member, Off, Presence, PresenceEvent, PresenceState, StandardSchemaV1 } from './types.ts';
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
export class ChannelPresence implements Presence {
  private _state: Value<PresenceState>;
  private _events: Listeners<PresenceEvent>;
  private _byClient = new Map<string, Member>();
  /** What we entered with; the reference is new for each `enter`. */
  private _entered: Entered | undefined;
  /** Validation may take its time; frames are applied in order. */
  private _order = new Sequence();
  /** The pages of a list that is still coming. */
  private _pages: Map<string, Member> | undefined;

  constructor(
    private _core: Core,
    private _channel: ClientChannel,
    private _schema: StandardSchemaV1 | undefined,
  ) {
    this._state = new Value(NOBODY, _core._guard);
    this._events = new Listeners(_core._guard);
  }

  get value() {
    return this._state.value;
  }
  get members() {
    return this.value.members;
  }
  get count() {
    return this.value.count;
  }
  get users() {
    return this.value.users;
  }
  get entered() {
    return !!this._entered;
  }

  subscribe(listener: (value: PresenceState) => void): Off {
    return this._watch(() => this._state.subscribe(listener));
  }

  events(listener: (event: PresenceEvent) => void): Off {
    return this._watch(() => this._events._add(listener));
  }

  private _watch(add: () => Off): Off {
    const release = this._channel._watch('presence');
    const off = add();
    return () => {
      off();
      release();
    };
  }

  async enter(data?: unknown): Promise<void> {
    await checkInput(this._schema, data, this._channel.name);
    const entered: Entered = (this._entered = { _data: data });
    const { _connection: connection } = this._core;
    // Lost on the way or not connected yet: it is said again by whoever notices first, once for each link.
    while (this._entered === entered) {
      try {
        await connection._use();
        await this._say(entered);
        return;
      } catch (error) {
        if (isNetwork(error) && connection._status.value.state !== 'failed') continue;
        if (this._entered === entered) this._entered = undefined;
        throw error;
      }
    }
  }

  async leave(): Promise<void> {
    const { _connection: connection } = this._core;
    const was = this._entered;
    this._entered = undefined;
    if (was && connection._link) {
      await connection._ask({ type: 'leave', channel: this._channel.name }).catch(error => {
        // Gone with the connection, or never there: left is left.
        if (!isNetwork(error) && error.code !== 'not_found') throw error;
      });
    }
    this._channel._settle();
  }

  /** Connected anew: says again that we are here, unless somebody else is now. */
  _reenter(): void {
    const { _entered: entered, _core: core } = this;
    if (!entered) return;
    if (entered._said && entered._user !== core._connection._user) {
      this._entered = undefined;
      return;
    }
    this._say(entered).catch((error: FanfareError) => {
      if (!isNetwork(error)) core._meter._log('enter refused', `${this._channel.name}: ${error.code}`);
    });
  }

  _forget(): void {
    this._entered = undefined;
    this._clear();
  }

  _clear(): void {
    this._byClient.clear();
    this._state._set(NOBODY);
  }

  private _say(entered: Entered): Promise<unknown> {
    const { _connection: connection } = this._core;
    if (entered._link !== connection._link || !entered._said) {
      entered._link = connection._link;
      entered._user = connection._user;
      entered._said = this._channel
        ._withToken({ type: 'enter', channel: this._channel.name, data: entered._data ?? null })
        .then(frame => connection._ask(frame));
    }
    return entered._said;
  }

  _frame(frame: Frame): void {
    const checks = (frame.members as Frame[]).map(member => check(this._schema, member.data));
    const slow = checks.some(item => item instanceof Promise);
    this._order._then(slow ? Promise.all(checks) : (checks as Checked[]), done => this._apply(frame, done));
  }

  private _apply({ action, more, count, users, members: raw }: Frame, checks: Checked[]): void {
    const members = (raw as Frame[]).flatMap(({ client, user, info, data, entered_at: enteredAt }, i): Member[] => {
      const { value, issues } = checks[i]!;
      // Who leaves takes no data along that would have to be right.
      if (!issues || action === 'leave') return [{ client, user, info, data: issues ? data : value, enteredAt }];
      this._core._invalid({ channel: this._channel.name, data, issues });
      return [];
    });
    const present = action === 'present';
    if (present) this._pages ??= new Map();
    for (const map of present ? [this._pages!] : [this._byClient, this._pages])
      for (const member of members)
        if (action === 'leave') map?.delete(member.client);
        else map?.set(member.client, member);
    if (present && !more) {
      this._byClient = this._pages!;
      this._pages = undefined;
    }
    if (!present || !more)
      this._state._set({
        members: [...this._byClient.values()].sort((a, b) => a.enteredAt - b.enteredAt),
        count,
        users,
      });
    this._events._tell({ action, members });
  }
}
