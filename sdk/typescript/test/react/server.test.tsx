// @vitest-environment happy-dom
import { act } from 'react';
import { hydrateRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { describe, expect, it, vi } from 'vitest';
import { useConnection, useEntries, useMessages, usePresence } from '../../src/react/index.ts';
import { fakeTime, pass, world } from './world.tsx';

fakeTime();

const App = () => {
  const { messages, loading } = useMessages('room');
  const count = usePresence('room', presence => presence.count);
  const size = useEntries('stock', entries => entries.size);
  const state = useConnection(status => status.state);
  return <p>{`${messages.length} ${loading} ${count} ${size} ${state}`}</p>;
};

describe('on a server', () => {
  it('renders what there is before anything, and opens nothing', async () => {
    const { hub, provided } = world();
    expect(renderToString(provided(<App />))).toBe('<p>0 true 0 0 idle</p>');
    await pass(5000);
    expect(hub.opened.ws).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('hydrates without a mismatch, also when the client is connected by then', async () => {
    const { hub, client, provided } = world();
    hub.publish('room', 'say', 'x');
    const container = document.createElement('div');
    container.innerHTML = renderToString(provided(<App />));
    client.channel('room', { presence: true }).subscribe(() => {});
    await pass(100);
    const complaints = vi.spyOn(console, 'error');
    const root = await act(async () => hydrateRoot(container, provided(<App />)));
    await pass(200);
    expect(container.textContent).toBe('1 false 0 0 connected');
    expect(complaints).not.toHaveBeenCalled();
    await act(async () => root.unmount());
  });
});
