import type { Core } from './core.ts';
import { errorOf } from './errors.ts';
import type { Opener } from './link.ts';
import type { TransportName } from './types.ts';

// Code that many applications never need, and none at once. It imports nothing of the core, so that the core stays in one piece.
const CODE = {
  /** History, and the past of those who listen late. */
  past: () => import('./past.ts'),
  /** Who is there, and being there. */
  membership: () => import('./membership.ts'),
  /** Validation. */
  schema: () => import('./schema.ts'),
  /** Tokens that are renewed in band. */
  renewal: () => import('./renewal.ts'),
};

export type Code = { [Name in keyof typeof CODE]: Awaited<ReturnType<(typeof CODE)[Name]>> };

/** Code that is here already, and need not be loaded: `fanfare-client/testing` brings it, since its time is not the network's. */
export interface Preloaded {
  _openHttp?: (name: TransportName) => Opener;
  _code?: Code;
}

/** Gives that part of the code. It comes over the network: where it does not, it is tried again, the later times when there is a connection. */
export async function load<Name extends keyof Code>(core: Core, name: Name): Promise<Code[Name]> {
  const { _connection: connection, _code: here } = core;
  connection._start();
  for (let tries = 1; ; tries++) {
    const code = here[name] ?? (await CODE[name]().catch(String));
    // Closed meanwhile: what was asked before does not open it again.
    if (connection._status.value.state === 'idle') throw errorOf('closed');
    if (typeof code !== 'string') return (here[name] = code as Code[Name]);
    core._meter._log('not loaded', code);
    if (tries > 4) throw errorOf('network', code);
    await new Promise<void>(resolve => core._timer()(resolve, tries * 1000));
    await connection._use();
  }
}
