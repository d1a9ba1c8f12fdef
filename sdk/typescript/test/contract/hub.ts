import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');

/** The hub's program: FANFARE_BIN, or what cargo built. */
export function binary(): string {
  const names = process.env.FANFARE_BIN
    ? [process.env.FANFARE_BIN]
    : ['target/debug/fanfare', 'target/release/fanfare'].map(name => path.join(root, name));
  const found = names.find(existsSync);
  if (!found)
    throw new Error(
      `no hub to test against: build it with \`cargo build -p fanfare\` or set FANFARE_BIN (looked for ${names.join(', ')})`,
    );
  return found;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** A hub of its own on a port that stays the same through restarts. */
export class Hub {
  private child: ChildProcess | undefined;
  private directory = mkdtempSync(path.join(tmpdir(), 'fanfare-sdk-'));
  readonly url: string;

  private constructor(
    readonly port: number,
    private config: string | undefined,
    private durable: boolean,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** In dev mode, or with the text of a configuration file; in memory, or on disk. */
  static async start({ config, durable = false }: { config?: string; durable?: boolean } = {}): Promise<Hub> {
    const hub = new Hub(await freePort(), config, durable);
    await hub.up();
    return hub;
  }

  async up(): Promise<void> {
    const file = path.join(this.directory, 'fanfare.toml');
    if (this.config !== undefined) writeFileSync(file, this.config);
    const args = [
      '--listen',
      `127.0.0.1:${this.port}`,
      ...(this.config === undefined ? ['--dev'] : ['--config', file]),
    ];
    if (this.durable) args.push('--data', path.join(this.directory, 'data'));
    // The hub reads FANFARE_* as settings; ours are not for it.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FANFARE_')));
    // Where dev mode keeps its data: nothing of an earlier run is to be found there.
    env.TMPDIR = this.directory;
    const child = spawn(binary(), args, { cwd: this.directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout!.on('data', chunk => {
        said += chunk;
        if (said.includes('listening on')) resolve();
      });
      child.stderr!.on('data', chunk => {
        said += chunk;
      });
      child.once('error', reject);
      child.once('exit', code => reject(new Error(`the hub ended with ${code}: ${said}`)));
    });
  }

  /** Ends it at once, without a goodbye. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async restart(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.kill(signal);
    await this.up();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async publish(channel: string, data: unknown, more: object = {}): Promise<{ offset: number; epoch: string }> {
    const response = await fetch(`${this.url}/v1/messages?channel=${encodeURIComponent(channel)}`, {
      method: 'POST',
      body: JSON.stringify({ data, ...more }),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as { offset: number; epoch: string };
  }
}

/** Waits until `condition` holds; says what was waited for when it never does. */
export async function until(what: string, condition: () => unknown, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
