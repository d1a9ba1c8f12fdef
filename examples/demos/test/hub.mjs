// A hub of its own for a test: a free port, an empty directory, ended with the test.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** `HUB_BIN`, or what `cargo build` made. */
function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
  const candidates = [process.env.HUB_BIN, path.join(target, 'debug/fanfare'), path.join(target, 'release/fanfare')];
  const found = candidates.find(candidate => candidate && existsSync(candidate));
  if (!found) throw new Error('no fanfare: run `cargo build -p fanfare`, or name one in HUB_BIN');
  return found;
}

/** Starts it; `url` is where it listens. */
export async function startHub() {
  const data = await mkdtemp(path.join(os.tmpdir(), 'fanfare-demos-'));
  // Settings of this shell are not the test's.
  const plain = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FANFARE_')));
  const hub = spawn(binary(), ['--dev', '--listen', '127.0.0.1:0', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'], cwd: data, env: plain });
  let said = '';
  const url = await new Promise((resolve, reject) => {
    hub.stdout.on('data', chunk => {
      said += chunk;
      const ready = /listening on (\S+)/.exec(said);
      if (ready) resolve(ready[1]);
    });
    hub.stderr.on('data', chunk => {
      said += chunk;
    });
    hub.on('exit', code => reject(new Error(`the hub ended with ${code}:\n${said}`)));
  });
  return {
    url,
    async stop() {
      const ended = new Promise(resolve => hub.once('exit', resolve));
      hub.kill('SIGTERM');
      await ended;
      await rm(data, { recursive: true, force: true });
    },
  };
}
