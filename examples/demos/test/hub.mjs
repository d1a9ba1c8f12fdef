// A hub of its own for a test: a free port that it keeps through restarts, an empty directory, ended with the test.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** `FANFARE_BIN`, or what `cargo build` made. */
function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
  const candidates = [process.env.FANFARE_BIN, path.join(target, 'debug/fanfare'), path.join(target, 'release/fanfare')];
  const found = candidates.find(candidate => candidate && existsSync(candidate));
  if (!found) throw new Error('no fanfare: run `cargo build -p fanfare`, or name one in FANFARE_BIN');
  return found;
}

class Hub {
  #directory;
  #arguments;
  #program;
  url = '';

  constructor(directory, args) {
    this.#directory = directory;
    this.#arguments = args;
  }

  /** Starts it, where it was if it was; resolves when it listens. */
  async start() {
    // Settings of this shell are not the test's.
    const plain = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FANFARE_')));
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const args = [...this.#arguments, '--listen', listen, '--data', path.join(this.#directory, 'data')];
    const program = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.#directory, env: plain });
    this.#program = program;
    let said = '';
    this.url = await new Promise((resolve, reject) => {
      program.stdout.on('data', chunk => {
        said += chunk;
        const ready = /listening on (\S+)/.exec(said);
        if (ready) resolve(ready[1]);
      });
      program.stderr.on('data', chunk => {
        said += chunk;
      });
      program.on('exit', code => reject(new Error(`the hub ended with ${code}:\n${said}`)));
    });
  }

  async end(signal = 'SIGTERM') {
    const program = this.#program;
    if (program.exitCode !== null || program.signalCode !== null) return;
    const ended = new Promise(resolve => program.once('exit', resolve));
    program.kill(signal);
    await ended;
  }

  async stop() {
    await this.end();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A running hub, in dev mode or with the text of a configuration file; `url` is where it listens. */
export async function startHub(config) {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'fanfare-demos-'));
  if (config) await writeFile(path.join(directory, 'fanfare.toml'), config);
  const hub = new Hub(directory, config ? [] : ['--dev']);
  await hub.start();
  return hub;
}
