import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../../src/index.ts';
import { Hub } from './hub.ts';

/** An application beside the hub, which answers calls of `ADD`. */
let application: Server;
let hub: Hub;
beforeAll(async () => {
  application = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { event, data, namespace } = JSON.parse(body);
    const answer =
      event === 'ADD'
        ? { reply: [data[0] + data[1], namespace] }
        : { error: { code: event === 'SHUT' ? 'forbidden' : 'not_found' } };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  await new Promise<void>(resolve => application.listen(0, '127.0.0.1', resolve));
  const { port } = application.address() as AddressInfo;
  hub = await Hub.start({
    config: `[hooks]\nurl = "http://127.0.0.1:${port}/"\nsecret = "a secret of at least thirty-two bytes, for tests"\nevents = ["call"]\nprivate_addresses = true\n[namespaces.default]\n[namespaces.chat]\n`,
  });
});
afterAll(async () => {
  await hub?.stop();
  application?.close();
});

it.each(['ws', 'sse', 'longpoll'] as const)('calls the application over %s', async transport => {
  const client = createClient(hub.url, { WebSocket: WebSocket as never, transports: [transport] });
  try {
    expect(await client.call('ADD', 1, 2)).toEqual([3, '/']);
    expect(await client.call({ namespace: '/chat', event: 'ADD' }, 'a', 'b')).toEqual(['ab', '/chat']);
    await expect(client.call('SHUT')).rejects.toMatchObject({ code: 'forbidden' });
    await expect(client.call('NOBODY')).rejects.toMatchObject({ code: 'not_found' });
    expect(client.status.value).toMatchObject({ state: 'connected', transport });
  } finally {
    await client.close();
  }
});
