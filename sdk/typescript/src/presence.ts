import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { Value } from './store.ts';
import type { Tokens } from './token.ts';
import type { Member, Off, Presence, PresenceEvent, PresenceState, StandardSchemaV1 } from './types.ts';
import { check, checkInput } from './validate.ts';

/** What presence needs of its channel. */
export interface PresenceHost {
  name: string;
  _tokens: Tokens | undefined;
  /** Keeps the channel subscribed with presence while somebody looks. */
  _watchPresence(): Off;
  /** Entered or not: an `unsubscribe` would end the membership. */
  _settle(): void;
}

/** What we entered with, and on which link it was said. */
interface Entered {
  _data: unknown;
  _link?: Link;
  _said?: Promise<void>;
}

/** Who is there, and whether we are. */
export class ChannelPresence implements Presence {
  private _state: Value<PresenceState>;
  private _listeners = new Set<(event: PresenceEvent) => void>();
  private _byClient = new Map<string, Member>();
  /** What we entered with; the reference is new for each `enter`. */
  private _entered: Entered | undefined;
  /** Validation may take its time; frames are applied in order. */
  private _chain: Promise<void> | undefined;
  /** The pages of a list that is still coming. */
  private _pages: Map<string, Member> | undefined;

  constructor(
    private _core: Core,
    private _host: PresenceHost,
    private _schema: StandardSchemaV1 | undefined,
  ) {
    this._state = new Value<PresenceState>({ members: [], count: 0, users: 0 }, _core.threw);
  }

  get value() {
    return this._state.value;
  }
  get members() {
    return this._state.value.members;
  }
  get count() {
    return this._state.value.count;
  }
  get users() {
    return this._state.value.users;
  }
  get entered() {
    return !!this._entered;
  }

  subscribe(listener: (value: PresenceState) => void): Off {
    return this._both(this._state.subscribe(listener));
  }

  events(listener: (event: PresenceEvent) => void): Off {
    const own = (event: PresenceEvent) => listener(event);
    this._listeners.add(own);
    return this._both(() => this._listeners.delete(own));
  }

  private _both(off: () => void): Off {
    let unwatch: Off | undefined;
    try {
      unwatch = this._host._watchPresence();
    } catch (error) {
      off();
      throw error;
    }
    return () => {
      off();
      unwatch?.();
      unwatch = undefined;
    };
  }

  async enter(data?: unknown): Promise<void> {
    await checkInput(this._schema, data, this._host.name);
    const entered: Entered = (this._entered = { _data: data });
    const { connection } = this._core;
    // Lost on the way or not connected yet: it is said again by whoever notices first, once for each link.
    while (this._entered === entered) {
      try {
        await connection.use();
        return await this._say(entered);
      } catch (error) {
        if ((error as FanfareError).code === 'network' && connection.status.value.state !== 'failed') continue;
        if (this._entered === entered) this._entered = undefined;
        throw error;
      }
    }
  }

  async leave(): Promise<void> {
    const was = this._entered;
    this._entered = undefined;
    const { connection } = this._core;
    if (was && connection.link) {
      await connection.ask({ type: 'leave', channel: this._host.name }).catch((error: FanfareError) => {
        // Gone with the connection, or never there: left is left.
        if (error.code !== 'network' && error.code !== 'not_found') throw error;
      });
    }
    this._host._settle();
  }

  /** Connected anew: says again that we are here. */
  _reenter(): void {
    if (!this._entered) return;
    this._say(this._entered).catch((error: FanfareError) => {
      if (error.code !== 'network') this._core.meter.log('enter refused', `${this._host.name}: ${error.code}`);
    });
  }

  _forget(): void {
    this._entered = undefined;
    this._clear();
  }

  _clear(): void {
    this._byClient.clear();
    this._publish(0, 0);
  }

  private _say(entered: Entered): Promise<void> {
    const { connection } = this._core;
    if (entered._link !== connection.link || !entered._said) {
      entered._link = connection.link;
      entered._said = (async () => {
        const frame: Frame = { type: 'enter', channel: this._host.name, data: entered._data ?? null };
        const { _tokens } = this._host;
        if (_tokens) frame.token = await _tokens.get();
        await connection.ask(frame);
      })();
    }
    return entered._said;
  }

  _frame(frame: Frame): void {
    if (!this._schema) return this._apply(frame, this._convert(frame));
    const checks = (frame.members as Frame[]).map(member => check(this._schema, member.data));
    if (!this._chain && !checks.some(item => item instanceof Promise)) {
      return this._apply(frame, this._keep(frame, checks as never));
    }
    const before = this._chain;
    const mine: Promise<void> = Promise.all(checks).then(async done => {
      await before;
      this._apply(frame, this._keep(frame, done as never));
      if (this._chain === mine) this._chain = undefined;
    });
    this._chain = mine;
  }

  private _convert(frame: Frame): Member[] {
    return (frame.members as Frame[]).map(({ client, user, info, data, entered_at }) => ({
      client,
      user,
      info,
      data,
      enteredAt: entered_at,
    }));
  }

  private _keep(frame: Frame, checks: ({ value: unknown } | { issues: never })[]): Member[] {
    return this._convert(frame).flatMap((member, i) => {
      const checked = checks[i]!;
      // Who leaves takes no data along that would have to be right.
      if (frame.action === 'leave') return [member];
      if ('value' in checked) return [{ ...member, data: checked.value }];
      this._core.invalid({ channel: this._host.name, data: member.data, issues: checked.issues });
      return [];
    });
  }

  private _apply(frame: Frame, members: Member[]): void {
    const { action, more, count, users } = frame;
    if (action === 'present') {
      const pages = (this._pages ??= new Map());
      for (const member of members) pages.set(member.client, member);
      if (!more) {
        this._byClient = pages;
        this._pages = undefined;
      }
    } else {
      for (const map of [this._byClient, this._pages]) {
        for (const member of members) {
          if (action === 'leave') map?.delete(member.client);
          else map?.set(member.client, member);
        }
      }
    }
    if (action !== 'present' || !more) this._publish(count, users);
    for (const listener of [...this._listeners]) {
      try {
        listener({ action, members });
      } catch (error) {
        this._core.threw(error);
      }
    }
  }

  private _publish(count: number, users: number): void {
    const members = [...this._byClient.values()].sort((a, b) => a.enteredAt - b.enteredAt);
    this._state.set({ members, count, users });
  }
}
