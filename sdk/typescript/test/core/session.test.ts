import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Client, createClient } from '../../src/index.ts';
import { FakeSocket, reset, settle } from './fake.ts';

/** One page's storage, which a duplicated tab begins with a copy of. */
class FakeStorage {
  constructor(private items = new Map<string, string>()) {}
  getItem = (name: string) => this.items.get(name) ?? null;
  setItem = (name: string, value: string) => void this.items.set(name, value);
  removeItem = (name: string) => void this.items.delete(name);
  copy = () => new FakeStorage(new Map(this.items));
}

/** Web Locks of one browser, `ifAvailable` only. */
class FakeLocks {
  private held = new Set<string>();
  async request(name: string, _options: object, callback: (lock: unknown) => unknown): Promise<void> {
    if (this.held.has(name)) return void (await callback(null));
    this.held.add(name);
    await callback({ name });
    this.held.delete(name);
  }
}

const open: Client[] = [];
beforeEach(reset);
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function sessionOf(url = 'http://hub'): Promise<string> {
  const client = createClient(url, { WebSocket: FakeSocket as never, transports: ['ws'] });
  open.push(client);
  void client.connect();
  for (let i = 0; i < 10; i++) await settle();
  return new URL(FakeSocket.last.url).searchParams.get('session')!;
}

describe('the session', () => {
  it('survives a reload, and a duplicated tab makes its own', async () => {
    const storage = new FakeStorage();
    vi.stubGlobal('navigator', { locks: new FakeLocks() });
    vi.stubGlobal('sessionStorage', storage);
    const first = await sessionOf();
    expect(first).toMatch(/^[\w-]{22,64}$/);
    vi.stubGlobal('sessionStorage', storage.copy());
    const duplicate = await sessionOf();
    expect(duplicate).not.toBe(first);
    vi.stubGlobal('sessionStorage', storage);
    await open[0]!.close();
    expect(await sessionOf()).toBe(first);
  });

  it('of another hub is another', async () => {
    vi.stubGlobal('navigator', { locks: new FakeLocks() });
    vi.stubGlobal('sessionStorage', new FakeStorage());
    expect(await sessionOf('http://one')).not.toBe(await sessionOf('http://two'));
  });

  it('needs neither storage nor locks, even where touching them throws', async () => {
    for (const name of ['sessionStorage', 'localStorage']) {
      vi.stubGlobal(name, undefined);
      Object.defineProperty(globalThis, name, {
        configurable: true,
        get() {
          throw new Error('The operation is insecure.');
        },
      });
    }
    expect(await sessionOf()).toMatch(/^[\w-]{22,64}$/);
    FakeSocket.last.welcome();
    expect(open[0]!.status.value.state).toBe('connected');
  });
});
