// Connections are cut, servers killed: every event is received once, in order.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { SEED, event, get, joined, engine, polling, post, proxy, publish, random, sleep, start, until } from "./support.mjs";

let hub;
before(async () => {
  console.log(`SEED=${SEED}`);
  // Long enough for a client that comes back late on a busy machine: what is lost then is told, but it is not what is tested here.
  hub = await start(`
    [socketio]
    enabled = true
    ping_timeout = "60s"
    [limits]
    commands_per_second = 0
    [namespaces.default]
    history = { size = 20000 }
    anonymous = ["subscribe", "publish"]
  `);
});
after(() => hub?.stop());

const ask = (socket, ...args) => socket.timeout(10_000).emitWithAck(...args);

/** Publishes natively, in order, without waiting for each. */
async function writer(url) {
  const native = new WebSocket(`${url.replace("http", "ws")}/v1/ws`);
  let acked = 0;
  native.addEventListener("message", (message) => {
    const frame = JSON.parse(message.data);
    if (frame.type === "ok") acked++;
    if (frame.type === "error") throw new Error(message.data);
  });
  await new Promise((done) => native.addEventListener("open", done));
  let sent = 0;
  return {
    say: (channel, event, data) => {
      native.send(JSON.stringify({ type: "publish", ref: sent++, channel, event, data }));
    },
    settled: () => until("all published", () => acked === sent, 30_000),
    close: () => native.close(),
  };
}

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(`cut 50 times, ${transports}: all once, in order, recovered`, { timeout: 120_000 }, async () => {
    const roll = random();
    const between = await proxy(hub.port);
    const socket = io(between.url, {
      transports, forceNew: true, reconnectionDelay: 5, reconnectionDelayMax: 20, randomizationFactor: 0,
    });
    const name = transports.join("-");
    const got = { a: [], b: [] };
    let [connects, fresh] = [0, 0];
    socket.on("connect", () => {
      connects++;
      if (!socket.recovered) fresh++;
    });
    socket.on("a", (n) => got.a.push(n));
    socket.on("b", (n) => got.b.push(n));
    await event(socket, "connect");
    await ask(socket, "subscribe", `cut:a-${name}`);
    await ask(socket, "subscribe", `cut:b-${name}`);
    const said = await writer(hub.url);
    const total = 5000;
    let cuts = 0;
    let over = false;
    const cutting = (async () => {
      while (cuts < 50) {
        const before = connects;
        await sleep(5 + roll() * 25);
        if (between.cut() > 0) cuts++;
        await until("back again", () => connects > before || over, 10_000).catch(() => {});
      }
    })();
    for (let n = 0; n < total; n++) {
      said.say(`cut:a-${name}`, "a", n);
      said.say(`cut:b-${name}`, "b", n);
      if (n % 50 === 0) await sleep(roll() * 20);
    }
    await said.settled();
    await cutting;
    await until("all came", () => got.a.length >= total && got.b.length >= total, 20_000).catch(() => {});
    over = true;
    await sleep(100);
    const told = `${connects} connects, ${fresh} of them fresh, ${cuts} cuts, ${got.a.length} and ${got.b.length} events, SEED=${SEED}`;
    for (const list of [got.a, got.b]) {
      const wrong = list.findIndex((n, at) => n !== at);
      assert.equal(wrong, -1, `at ${wrong}: ${list.slice(Math.max(0, wrong - 3), wrong + 4)} (SEED=${SEED})`);
      assert.equal(list.length, total, told);
    }
    assert.equal(cuts, 50);
    assert.equal(fresh, 1, `every connect after the first goes on: ${told}`);
    socket.disconnect();
    said.close();
    between.stop();
  });
}

test("CONNECT is answered before what was missed, with the old ids", async () => {
  const raw = await joined(hub.url);
  const { sid, pid } = JSON.parse(raw.connect.slice(2));
  raw.send('420["subscribe","order:1"]');
  await raw.next();
  await publish(hub.url, "order:1", "e", 1);
  const offset = JSON.parse((await raw.next()).slice(2)).at(-1);
  raw.socket.terminate();
  await publish(hub.url, "order:1", "e", 2);
  const again = await engine(hub.url);
  again.send(`40${JSON.stringify({ pid, offset })}`);
  assert.equal(await again.next(), `40${JSON.stringify({ sid, pid })}`);
  assert.equal(JSON.parse((await again.next()).slice(2))[1], 2);
  again.close();
});

test("a client that received nothing is sent everything since it came", async () => {
  const raw = await joined(hub.url);
  const { sid, pid } = JSON.parse(raw.connect.slice(2));
  raw.send('420["subscribe","order:2"]');
  await raw.next();
  raw.socket.terminate();
  await publish(hub.url, "order:2", "e", 1);
  const again = await engine(hub.url);
  again.send(`40${JSON.stringify({ pid })}`);
  assert.equal(JSON.parse((await again.next()).slice(2)).sid, sid);
  assert.equal(JSON.parse((await again.next()).slice(2))[1], 1);
  again.close();
});

test("a second connection goes on in the place of one that was not noticed to be gone", async () => {
  const raw = await joined(hub.url);
  const { sid, pid } = JSON.parse(raw.connect.slice(2));
  raw.send('420["subscribe","order:3"]');
  await raw.next();
  const again = await engine(hub.url);
  again.send(`40${JSON.stringify({ pid })}`);
  assert.equal(JSON.parse((await again.next()).slice(2)).sid, sid);
  await raw.end(2000);
  await publish(hub.url, "order:3", "e", 1);
  assert.equal(JSON.parse((await again.next()).slice(2))[1], 1);
  again.close();
});

test("who said goodbye, or was never here, begins anew", async () => {
  const raw = await joined(hub.url);
  const { sid, pid } = JSON.parse(raw.connect.slice(2));
  raw.send("41");
  await sleep(50);
  raw.send(`40${JSON.stringify({ pid })}`);
  const again = JSON.parse((await raw.next()).slice(2));
  assert.notEqual(again.sid, sid);
  assert.notEqual(again.pid, pid);
  for (const payload of [{ pid: "x".repeat(20) }, { pid: 1, offset: 2 }, { pid: again.pid, offset: "nonsense" }]) {
    const other = await engine(hub.url);
    other.send(`40${JSON.stringify(payload)}`);
    assert.match(await other.next(), /^40\{"sid":/);
    other.close();
  }
  raw.close();
});

test("what the log no longer holds is a fresh CONNECT, never a silent hole", async () => {
  const small = await start(`
    [socketio]
    enabled = true
    [limits]
    tail_bytes = 65536
    [namespaces.default]
    history = { size = 5 }
    anonymous = ["subscribe", "publish"]
  `);
  const raw = await joined(small.url);
  const { pid } = JSON.parse(raw.connect.slice(2));
  raw.send('420["subscribe","gone"]');
  await raw.next();
  await publish(small.url, "gone", "e", 0);
  const offset = JSON.parse((await raw.next()).slice(2)).at(-1);
  raw.socket.terminate();
  for (let n = 1; n < 10; n++) await publish(small.url, "gone", "e", "x".repeat(20_000));
  const again = await engine(small.url);
  again.send(`40${JSON.stringify({ pid, offset })}`);
  assert.notEqual(JSON.parse((await again.next()).slice(2)).pid, pid);
  again.close();
  await small.stop();
});

/** Bursts of one event in each of many channels: as many changes between channels as events, so long as the client is sent them. */
async function bursts(raw, name, rounds) {
  const channels = Array.from({ length: 64 }, (_, n) => `${name}:${n}`);
  for (const [n, channel] of channels.entries()) {
    raw.send(`42${n}["subscribe","${channel}"]`);
    assert.match(await raw.next(), new RegExp(`^43${n}`));
  }
  const said = await writer(hub.url);
  const got = [];
  let pings = 0;
  return {
    got,
    total: rounds * channels.length,
    pings: () => pings,
    async take(frame, answers) {
      if (frame !== "2") return got.push(JSON.parse(frame.slice(2)));
      pings++;
      if (answers) raw.send("3");
    },
    async run(answers) {
      let held = false;
      for (let n = 0; n < rounds; n++) {
        for (const channel of channels) said.say(channel, "e", n);
        while (!held && got.length < (n + 1) * channels.length) {
          await raw.next(3000).then((frame) => this.take(frame, answers), () => (held = true));
        }
      }
      await said.settled();
      said.close();
    },
    /** Everything came once, and what is of one channel in order. */
    check(events) {
      const by = group(events, (event) => event[2].channel);
      assert.deepEqual([...by.keys()].sort(), [...channels].sort());
      const expected = Array.from({ length: rounds }, (_, n) => n);
      for (const [channel, list] of by) assert.deepEqual(list.map((event) => event[1]), expected, channel);
    },
  };
}

function group(list, key) {
  const groups = new Map();
  for (const item of list) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

test("a client that is thousands of changes between channels behind goes on exactly", { timeout: 60_000 }, async () => {
  const raw = await joined(hub.url);
  const { sid, pid } = JSON.parse(raw.connect.slice(2));
  const turns = await bursts(raw, "silent", 80);
  await turns.run(false);
  // It was asked how far it has come, and sent no more than can be told apart when it did not say.
  assert.equal(turns.pings(), 1);
  assert.ok(turns.got.length >= 4096 && turns.got.length < turns.total, `${turns.got.length}`);
  raw.socket.terminate();
  // It had received few of them.
  const received = turns.got.slice(0, 100);
  const again = await engine(hub.url);
  again.send(`40${JSON.stringify({ pid, offset: received.at(-1).at(-1) })}`);
  assert.equal(await again.next(), `40${JSON.stringify({ sid, pid })}`);
  while (received.length < turns.total) {
    const frame = await again.next();
    if (frame === "2") again.send("3");
    else received.push(JSON.parse(frame.slice(2)));
  }
  turns.check(received);
  again.close();
});

test("a client that answers is sent everything, however often channels change", { timeout: 60_000 }, async () => {
  const raw = await joined(hub.url);
  const turns = await bursts(raw, "alive", 80);
  await turns.run(true);
  while (turns.got.length < turns.total) await turns.take(await raw.next(), true);
  turns.check(turns.got);
  assert.ok(turns.pings() >= 5, `${turns.pings()} pings`);
  raw.close();
});

test("a client that fetches is not asked what it has received: it says so by fetching again", { timeout: 60_000 }, async () => {
  const rounds = 20;
  const channels = Array.from({ length: 32 }, (_, n) => `fetched:${n}`);
  const sid = await polling(hub.url);
  await post(hub.url, sid, "40");
  assert.match(await (await get(hub.url, sid)).text(), /^40\{/);
  await post(hub.url, sid, channels.map((name, n) => `42${n}["subscribe","${name}"]`).join("\x1e"));
  const got = [];
  const fetched = async () => {
    for (const packet of (await (await get(hub.url, sid)).text()).split("\x1e")) {
      assert.notEqual(packet, "2");
      if (packet.startsWith("42")) got.push(JSON.parse(packet.slice(2)));
      if (packet.startsWith("4331")) said = await writer(hub.url);
    }
  };
  let said;
  while (!said) await fetched();
  for (let n = 0; n < rounds; n++) {
    for (const channel of channels) said.say(channel, "e", n);
    while (got.length < (n + 1) * channels.length) await fetched();
  }
  for (const channel of channels) {
    const own = got.filter((event) => event[2].channel === channel).map((event) => event[1]);
    assert.deepEqual(own, Array.from({ length: rounds }, (_, n) => n));
  }
  said.close();
});

test("without recovery there is no secret and nothing is appended", async () => {
  const plain = await start(`
    [socketio]
    enabled = true
    recovery = false
    [namespaces.default]
    anonymous = ["subscribe", "publish"]
  `);
  const raw = await joined(plain.url);
  assert.deepEqual(Object.keys(JSON.parse(raw.connect.slice(2))), ["sid"]);
  raw.send('42["subscribe",{"channel":"plain"}]');
  await sleep(50);
  await publish(plain.url, "plain", "e", "text");
  assert.equal(await raw.next(), '42["e","plain","text"]');
  raw.close();
  await plain.stop();
});

for (const busy of [1, 2]) {
  const outcome = busy === 1 ? "goes on" : "is told that it may have missed something";
  test(`the server is killed: a client of several channels, ${busy} of them busy, ${outcome}`, { timeout: 60_000 }, async () => {
    let stored = await start(`
      data = "data"
      [socketio]
      enabled = true
      ping_interval = "200ms"
      [namespaces.default]
      history = { size = 100000 }
      ack = "stored"
      anonymous = ["subscribe", "publish", "history"]
    `);
    const between = await proxy(stored.port);
    const socket = io(between.url, {
      transports: ["websocket"], forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100,
    });
    const got = { a: [], b: [], c: [] };
    for (const name of ["a", "b", "c"]) socket.on(name, (n) => got[name].push(n));
    await event(socket, "connect");
    for (const name of ["a", "b", "c"]) await ask(socket, "subscribe", `killed:${name}`);
    const say = async (from, to, names) => {
      for (let n = from; n < to; n++) for (const name of names) await publish(stored.url, `killed:${name}`, name, n);
    };
    await say(0, 20, ["a", "b", "c"]);
    await until("all came", () => got.a.length === 20 && got.b.length === 20 && got.c.length === 20);
    // The record of how far the client has come is written after a ping or two.
    await sleep(700);
    await say(20, 60, busy === 1 ? ["a"] : ["a", "b"]);
    await until("more came", () => got.a.length === 60 && got.b.length === (busy === 1 ? 20 : 60));
    const again = event(socket, "connect", 30_000);
    between.block(true);
    await stored.kill();
    stored = await stored.again();
    // What is published before the client is back was not sent to it before the server died.
    await say(60, 80, ["a", "b"]);
    between.block(false);
    await again;
    assert.equal(socket.recovered, busy === 1);
    const to = (end) => Array.from({ length: end }, (_, n) => n);
    if (busy === 1) await until("all came", () => got.a.length >= 80 && got.b.length >= 40, 10_000);
    assert.deepEqual(got.a, to(busy === 1 ? 80 : 60));
    assert.deepEqual(got.b, busy === 1 ? [...to(20), ...to(80).slice(60)] : to(60));
    assert.deepEqual(got.c, to(20));
    socket.disconnect();
    between.stop();
    await stored.stop();
  });
}

for (const how of ["terminate", "kill"]) {
  test(`the server is restarted (${how}): stored channels go on`, { timeout: 60_000 }, async () => {
    let stored = await start(`
      data = "data"
      [socketio]
      enabled = true
      [limits]
      drain = "1s"
      [namespaces.default]
      history = { size = 100000 }
      ack = "stored"
      anonymous = ["subscribe", "publish"]
    `);
    const socket = io(stored.url, {
      transports: ["websocket"], forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100,
    });
    const got = [];
    let recovered;
    socket.on("connect", () => (recovered = socket.recovered));
    socket.on("n", (n) => got.push(n));
    await event(socket, "connect");
    await ask(socket, "subscribe", "stored:1");
    for (let n = 0; n < 100; n++) await publish(stored.url, "stored:1", "n", n);
    await until("half came", () => got.length === 100);
    const again = event(socket, "connect", 30_000);
    await stored[how]();
    recovered = undefined;
    stored = await stored.again();
    for (let n = 100; n < 200; n++) await publish(stored.url, "stored:1", "n", n);
    await again;
    await until("all came", () => got.length >= 200, 10_000).catch(() => {});
    assert.equal(recovered, true);
    assert.deepEqual(got, Array.from({ length: 200 }, (_, n) => n));
    socket.disconnect();
    await stored.stop();
  });
}
