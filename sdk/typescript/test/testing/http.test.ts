import { describe, expect, it } from 'vitest';
import { FakeHub } from '../../src/testing/index.ts';
import { SESSION } from './bare.ts';

/** A request whose answer is read to its end, or as far as it has come. */
function bareFetch(hub: FakeHub, path: string, init?: RequestInit) {
  const { fetch } = hub.options();
  const out = { status: 0, headers: new Headers(), text: '', done: false, error: undefined as unknown };
  const read = async () => {
    const response = await fetch(`${hub.url}/v1${path}`, init);
    out.status = response.status;
    out.headers = response.headers;
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read())
      out.text += decoder.decode(chunk.value, { stream: true });
    out.done = true;
  };
  read().catch(error => {
    out.error = error;
  });
  return out;
}

describe('the fake hub over HTTP', () => {
  it('publishes, reads history and snapshot, and answers with problems', async () => {
    const hub = new FakeHub();
    const body = JSON.stringify({ event: 'say', data: 1, key: 'k' });
    const first = bareFetch(hub, '/channels/room%3A1/messages', { method: 'POST', body });
    await hub.settle();
    bareFetch(hub, '/messages?channel=room:1', { method: 'POST', body });
    await hub.settle();
    const history = bareFetch(hub, '/channels/room:1/messages?reverse=1&limit=1');
    const snapshot = bareFetch(hub, '/channels/room:1/snapshot');
    const bad = bareFetch(hub, '/channels/$x/messages', { method: 'POST', body });
    const many = bareFetch(hub, '/messages', {
      method: 'POST',
      body: JSON.stringify({ messages: [{ channel: 'a', data: 1 }, { channel: '$' }] }),
    });
    await hub.settle();
    expect(JSON.parse(first.text)).toMatchObject({ offset: 1, epoch: 'e1', duplicate: false });
    expect(first.headers.get('fanfare-session')).toMatch(/^[\w-]{22,64}$/);
    expect(JSON.parse(history.text)).toMatchObject({ messages: [{ offset: 2 }], offset: 2, more: true });
    expect(JSON.parse(snapshot.text).messages).toMatchObject([{ offset: 2, key: 'k' }]);
    expect(bad.status).toBe(400);
    expect(JSON.parse(bad.text)).toMatchObject({ code: 'bad_request', retryable: false });
    expect(JSON.parse(many.text).results).toMatchObject([{ offset: 1 }, { error: { code: 'bad_request' } }]);
  });

  it('streams server-sent events with cursors', async () => {
    const hub = new FakeHub();
    hub.publish('a', 'n', 1);
    const both = bareFetch(hub, '/sse?channel=a&channel=b&last=1');
    await hub.settle();
    hub.publish('b', 'n', 2);
    hub.publish('b', 'n', 3, { ephemeral: true });
    await hub.advance(15_000);
    const blocks = both.text.split('\n\n');
    expect(both.headers.get('content-type')).toBe('text/event-stream');
    expect(blocks[0]).toBe(': fanfare');
    expect(blocks.slice(1).map(block => block.split('\n')[0])).toEqual([
      'event: fanfare.subscribed',
      'id: e1-0~e1-0',
      'id: e1-1~e1-0',
      'id: e1-1~e1-1',
      'event: n',
      ': ',
      '',
    ]);
    expect(both.text).toContain('id: e1-1~e1-1\nevent: n\ndata: 2\n\nevent: n\ndata: 3\n\n');
    hub.disconnect('draining', 700);
    await hub.settle();
    expect(both.text).toMatch(
      /event: fanfare\.disconnect\ndata: \{"type":"disconnect","code":"draining".*"retry_after_ms":700/,
    );
    expect(both.done).toBe(true);
  });

  it('resumes at Last-Event-ID, tells a gap for a foreign one, and writes envelopes', async () => {
    const hub = new FakeHub();
    for (let n = 1; n <= 3; n++) hub.publish('a', 'n', n);
    const resumed = bareFetch(hub, '/sse?channel=a&envelope=1', { headers: { 'last-event-id': 'e1-2' } });
    const foreign = bareFetch(hub, '/stream?channel=a', { headers: { 'last-event-id': 'what' } });
    await hub.settle();
    expect(resumed.text).toContain('id: e1-3\ndata: {"channel":"a","offset":3,"event":"n","data":3');
    expect(resumed.text).not.toContain('"offset":2,"event"');
    const lines = foreign.text.trim().split('\n');
    expect(lines.map(line => JSON.parse(line).type)).toEqual(['subscribed', 'gap', 'message', 'message', 'message']);
    hub.cut();
    await hub.settle();
    expect(resumed.error).toBeInstanceOf(TypeError);
  });

  it('answers polls at once, parks long ones, and says 304', async () => {
    const hub = new FakeHub();
    hub.publish('a', 'n', 1);
    const begin = bareFetch(hub, '/poll?channel=a&last=5');
    await hub.settle();
    expect(JSON.parse(begin.text)).toMatchObject({
      messages: [{ data: 1 }],
      cursor: 'e1-1',
      gap: [],
      poll_after_ms: 1000,
    });
    const parked = bareFetch(hub, '/poll?channel=a&since=e1-1&wait=10');
    await hub.advance(5000);
    expect(parked.status).toBe(0);
    hub.publish('a', 'n', 2);
    await hub.settle();
    expect(JSON.parse(parked.text)).toMatchObject({ messages: [{ data: 2 }], cursor: 'e1-2' });
    const quiet = bareFetch(hub, '/poll?channel=a&since=e1-2&wait=10', { headers: { 'if-none-match': 'W/"e1-2"' } });
    const other = bareFetch(hub, '/poll?channel=a&since=e9-2&wait=10');
    await hub.advance(10_000);
    expect(quiet.status).toBe(304);
    expect(JSON.parse(other.text)).toMatchObject({ gap: [{ channel: 'a', epoch: 'e1', offset: 0, reason: 'epoch' }] });
    expect(hub.connections).toEqual([]);
  });

  it('holds members of a session while its stream is open, else for 30 s', async () => {
    const hub = new FakeHub();
    const headers = { 'fanfare-session': SESSION };
    const stop = new AbortController();
    const stream = bareFetch(hub, `/stream?channel=a&session=${SESSION}`, { signal: stop.signal });
    bareFetch(hub, '/channels/a/presence', { method: 'PUT', headers, body: '{"data":{"name":"Ada"}}' });
    const nobody = bareFetch(hub, '/channels/a/presence', { method: 'PUT', body: '{}' });
    await hub.advance(120_000);
    expect(nobody.status).toBe(400);
    expect(hub.channel('a').members).toMatchObject([{ data: { name: 'Ada' } }]);
    stop.abort();
    await hub.advance(29_999);
    expect(hub.channel('a').members).toHaveLength(1);
    await hub.advance(1);
    expect(hub.channel('a').members).toHaveLength(0);
    expect(stream.error).toMatchObject({ name: 'AbortError' });
  });

  it('fails as networks do, and gives up when asked to', async () => {
    const hub = new FakeHub();
    hub.refuse('sse');
    const refused = bareFetch(hub, '/sse?channel=a');
    hub.refuseNext('publish', 'unavailable', { retryAfter: 1500 });
    const unavailable = bareFetch(hub, '/messages?channel=a', { method: 'POST', body: '{"data":1}' });
    await hub.settle();
    expect(refused.error).toBeInstanceOf(TypeError);
    expect([unavailable.status, unavailable.headers.get('retry-after')]).toEqual([503, '2']);
    hub.freeze();
    const stop = new AbortController();
    const hanging = bareFetch(hub, '/poll?channel=a', { signal: stop.signal });
    await hub.advance(60_000);
    expect(hanging.error).toBeUndefined();
    stop.abort();
    await hub.settle();
    expect(hanging.error).toMatchObject({ name: 'AbortError' });
  });
});
