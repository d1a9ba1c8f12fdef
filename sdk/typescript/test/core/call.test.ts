import { describe, expect, it } from 'vitest';
import { type ClientOptions, createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

describe.each([['ws'], ['sse'], ['poll']] as const)('calling the application over %s', transport => {
  const begin = (more?: ClientOptions) => {
    const hub = new FakeHub();
    const client = createClient(hub.url, hub.options({ transports: [transport], ...more }));
    /** Lets time pass until it has an outcome. */
    const outcome = async (promise: Promise<unknown>) => {
      let over = false;
      promise.catch(() => {}).finally(() => (over = true));
      await hub.until(() => over);
      return promise;
    };
    return { hub, client, outcome };
  };

  it('waits for the connection, and gives what the handler of that event answers', async () => {
    const { hub, client, outcome } = begin();
    hub.on('ADD', (a, b) => Number(a) + Number(b));
    hub.on('NOTE', () => undefined);
    hub.on('JOIN', room => [room, 1], '/chat');
    const answers = Promise.all([
      client.call('ADD', 1, 2),
      client.call('NOTE'),
      client.call({ namespace: '/chat', event: 'JOIN' }, 'lobby'),
    ]);
    expect(await outcome(answers)).toEqual([3, undefined, ['lobby', 1]]);
    expect(hub.received.filter(({ frame }) => frame.type === 'call').map(({ frame }) => frame)).toMatchObject([
      { event: 'ADD', data: [1, 2] },
      { event: 'NOTE', data: [] },
      { namespace: '/chat', event: 'JOIN', data: ['lobby'] },
    ]);
    await client.close();
  });

  it('rejects with the code of the hub', async () => {
    const { hub, client, outcome } = begin();
    hub.on('FAIL', () => {
      throw new Error('no');
    });
    await expect(outcome(client.call('MISSING'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(outcome(client.call('FAIL'))).rejects.toMatchObject({ code: 'internal' });
    expect(client.status.value.state).toBe('connected');
    await client.close();
  });

  it('is not repeated when it is not answered', async () => {
    const { hub, client, outcome } = begin({ ackTimeout: 5000 });
    let called = 0;
    hub.on('PAY', () => ++called);
    for (const fault of ['loseNext', 'ignoreNext'] as const) {
      hub[fault]('call');
      await expect(outcome(client.call('PAY'))).rejects.toMatchObject({ code: 'outcome_unknown' });
    }
    await outcome(client.connect());
    await hub.advance(20_000);
    expect([called, hub.count('call')]).toEqual([1, 2]);
    await client.close();
  });
});
