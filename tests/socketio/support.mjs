// A fanfare of one's own, sockets spoken to by hand, and a proxy that cuts.
import { spawn } from "node:child_process";
import { createServer, connect as dial } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import WebSocket from "ws";

const BIN = process.env.FANFARE_BIN ?? new URL("../../target/debug/fanfare", import.meta.url).pathname;
export const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));

/** A generator of numbers in [0, 1) that repeats itself for a seed. */
export function random(seed = SEED) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until a condition holds; fails with `what` when it does not within `ms`. */
export async function until(what, condition, ms = 10_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(5);
  }
}

/** Starts a server: in dev mode, or with a configuration. */
export async function start(config, { listen = "127.0.0.1:0", home } = {}) {
  const directory = home ?? mkdtempSync(join(tmpdir(), "fanfare-socketio-"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("FANFARE_")));
  if (config) writeFileSync(join(directory, "fanfare.toml"), config);
  const child = spawn(BIN, ["--listen", listen], {
    cwd: directory,
    env: { ...env, TMPDIR: directory },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  await until("listening", () => {
    if (child.exitCode !== null) throw new Error(`the server ended:\n${log}\n${out}`);
    return /listening on (\S+)/.test(out);
  }, 30_000);
  const url = /listening on (\S+)/.exec(out)[1];
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };
  return {
    url,
    port: Number(new URL(url).port),
    log: () => log,
    stop: async () => {
      await end("SIGTERM");
      rmSync(directory, { recursive: true, force: true });
    },
    kill: () => end("SIGKILL"),
    terminate: () => end("SIGTERM"),
    again: () => start(config, { listen: `127.0.0.1:${new URL(url).port}`, home: directory }),
  };
}

/** A WebSocket spoken to by hand; frames that came are taken in order. */
export class Raw {
  constructor(url) {
    this.socket = new WebSocket(url);
    this.frames = [];
    this.waiting = [];
    this.closed = new Promise((done) => {
      this.socket.on("close", (code, reason) => done({ code, reason: String(reason) }));
    });
    this.socket.on("error", (error) => (this.error = error));
    this.socket.on("unexpected-response", (_request, response) => {
      this.status = response.statusCode;
      this.socket.terminate();
    });
    this.socket.on("message", (data, isBinary) => {
      const frame = isBinary ? data : String(data);
      const next = this.waiting.shift();
      if (next) next(frame);
      else this.frames.push(frame);
    });
  }
  async opened() {
    if (this.socket.readyState !== WebSocket.OPEN) await once(this.socket, "open");
    return this;
  }
  send(frame) {
    this.socket.send(frame);
  }
  /** The next frame. */
  next(ms = 5000) {
    if (this.frames.length) return Promise.resolve(this.frames.shift());
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`no frame within ${ms} ms`)), ms);
      this.waiting.push((frame) => {
        clearTimeout(timer);
        done(frame);
      });
    });
  }
  /** How it ended. */
  async end(ms = 5000) {
    return Promise.race([this.closed, sleep(ms).then(() => Promise.reject(new Error("it did not end")))]);
  }
  close() {
    this.socket.close();
  }
}

/** A WebSocket session of Engine.IO; its open packet has been taken. */
export async function engine(url, path = "/socket.io/", query = "") {
  const raw = await new Raw(`${url.replace("http", "ws")}${path}?EIO=4&transport=websocket${query}`).opened();
  raw.open = await raw.next();
  return raw;
}

/** The same with a namespace joined; `raw.sid` is its id there. */
export async function joined(url, namespace = "/", payload = "") {
  const raw = await engine(url);
  const prefix = namespace === "/" ? "" : `${namespace},`;
  raw.send(`40${prefix}${payload}`);
  raw.connect = await raw.next();
  return raw;
}

/** A polling session: its id. */
export async function polling(url, path = "/socket.io/") {
  const response = await fetch(`${url}${path}?EIO=4&transport=polling`);
  return JSON.parse((await response.text()).slice(1)).sid;
}

export const get = (url, sid, path = "/socket.io/") => fetch(`${url}${path}?EIO=4&transport=polling&sid=${sid}`);

export const post = (url, sid, body, path = "/socket.io/") =>
  fetch(`${url}${path}?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body });

/** A TCP proxy whose connections can be cut all at once. */
export async function proxy(port) {
  const pairs = new Set();
  let blocked = false;
  const server = createServer((client) => {
    if (blocked) return client.destroy();
    const upstream = dial(port, "127.0.0.1");
    const pair = [client, upstream];
    pairs.add(pair);
    const end = () => {
      client.destroy();
      upstream.destroy();
      pairs.delete(pair);
    };
    for (const socket of pair) {
      socket.on("error", end);
      socket.on("close", end);
      socket.setNoDelay(true);
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut: () => {
      const cut = pairs.size;
      for (const [client, upstream] of pairs) {
        client.destroy();
        upstream.destroy();
      }
      return cut;
    },
    block: (value) => (blocked = value),
    pairs: () => [...pairs],
    stop: () => {
      for (const [client, upstream] of pairs) {
        client.destroy();
        upstream.destroy();
      }
      server.close();
    },
  };
}

/** Publishes natively over HTTP. */
export async function publish(url, channel, event, data, more = {}, headers = {}) {
  const response = await fetch(`${url}/v1/messages?channel=${encodeURIComponent(channel)}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ event, data, ...more }),
  });
  if (!response.ok) throw new Error(`publish: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A promise of a client's next event of a name: its arguments. */
export function event(socket, name, ms = 5000) {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no ${name} within ${ms} ms`)), ms);
    socket.once(name, (...args) => {
      clearTimeout(timer);
      done(args);
    });
  });
}
