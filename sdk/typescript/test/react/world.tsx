import { act, type ReactNode } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, vi } from 'vitest';
import { createClient } from '../../src/index.ts';
import { FanfareProvider } from '../../src/react/index.ts';
import { FakeHub, type FakeHubOptions, globalClock } from '../../src/testing/index.ts';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

const roots: Root[] = [];

/** Time is vitest's in these tests: the hooks' own timers and the hub's pass together. */
export function fakeTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'Date', 'requestAnimationFrame', 'cancelAnimationFrame'],
    });
  });
  afterEach(async () => {
    await act(async () => {
      for (const root of roots.splice(0)) root.unmount();
    });
    vi.useRealTimers();
    document.body.innerHTML = '';
  });
}

export const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

export function world(options: FakeHubOptions = {}) {
  const hub = new FakeHub({ clock: globalClock, ...options });
  const client = createClient(hub.url, hub.options());
  return {
    hub,
    client,
    provided: (children: ReactNode) => <FanfareProvider client={client}>{children}</FanfareProvider>,
  };
}

export async function show(element: ReactNode, existing?: Root) {
  const container = document.createElement('div');
  document.body.append(container);
  const root = existing ?? createRoot(container);
  if (!existing) roots.push(root);
  await act(async () => root.render(element));
  return { root, text: () => container.textContent };
}
