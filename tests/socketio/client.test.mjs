// The unmodified socket.io-client, over each transport.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { io } from "socket.io-client";
import msgpack from "socket.io-msgpack-parser";
import Echo from "laravel-echo";
import { event, publish, sleep, start, until } from "./support.mjs";

const SECRET = "0123456789abcdef0123456789abcdef";
let hub;
const open = [];
before(async () => {
  hub = await start(`
    [socketio]
    enabled = true
    [auth]
    hmac_secret = "${SECRET}"
    [namespaces.default]
    presence = true
    anonymous = ["subscribe", "publish", "presence", "enter", "history"]
    [namespaces.private]
    authenticated = ["subscribe", "publish"]
    [namespaces.chat]
    anonymous = ["subscribe", "publish"]
  `);
});
after(async () => {
  open.forEach((socket) => socket.disconnect());
  await hub?.stop();
});

const jwt = (claims) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 60, ...claims })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
};

const client = (options = {}, namespace = "") => {
  const socket = io(hub.url + namespace, { forceNew: true, transports: ["websocket"], ...options });
  open.push(socket);
  return socket;
};
const connected = async (...args) => {
  const socket = client(...args);
  await event(socket, "connect");
  return socket;
};
const ask = (socket, ...args) => socket.timeout(5000).emitWithAck(...args);

const TRANSPORTS = { "polling only": ["polling"], "WebSocket only": ["websocket"], upgrade: ["polling", "websocket"] };
for (const [name, transports] of Object.entries(TRANSPORTS)) {
  describe(name, () => {
    test("events with an ack, in order, once", async () => {
      const socket = await connected({ transports });
      const channel = `order:${name.replace(/ /g, "-")}`;
      assert.equal((await ask(socket, "subscribe", channel)).recovered, false);
      const got = [];
      socket.on("n", (n) => got.push(n));
      const acks = [];
      for (let n = 0; n < 200; n++) acks.push(ask(socket, "publish", channel, "n", n));
      const offsets = (await Promise.all(acks)).map((ack) => ack.offset);
      assert.deepEqual(offsets, Array.from({ length: 200 }, (_, n) => n + 1));
      await until("all came", () => got.length === 200);
      assert.deepEqual(got, Array.from({ length: 200 }, (_, n) => n));
      if (name === "upgrade") await until("upgraded", () => socket.io.engine.transport.name === "websocket");
      socket.disconnect();
    });

    test("bytes both ways", async () => {
      const [a, b] = [await connected({ transports }), await connected({ transports })];
      const channel = `bytes:${name.replace(/ /g, "-")}`;
      await ask(b, "subscribe", channel);
      const whole = event(b, "whole");
      const inside = event(b, "inside");
      await ask(a, "publish", channel, "whole", Buffer.from([0, 1, 255]));
      await ask(a, "publish", channel, "inside", { one: Buffer.from([1]), list: [Buffer.from([2, 3]), "text"] });
      assert.deepEqual([...(await whole)[0]], [0, 1, 255]);
      const [data] = await inside;
      assert.deepEqual([[...data.one], [...data.list[0]], data.list[1]], [[1], [2, 3], "text"]);
      a.disconnect();
      b.disconnect();
    });
  });
}

test("an upgrade in the middle of a stream loses and repeats nothing", async () => {
  const writer = await connected();
  for (let round = 0; round < 5; round++) {
    const channel = `upgrade:${round}`;
    const reader = client({ transports: ["polling", "websocket"] });
    const got = [];
    reader.on("n", (n) => got.push(n));
    await event(reader, "connect");
    await ask(reader, "subscribe", channel);
    for (let n = 0; n < 300; n++) {
      writer.emit("publish", channel, "n", n);
      if (n % 10 === 0) await sleep(1);
    }
    await until("all came", () => got.length >= 300);
    await until("upgraded", () => reader.io.engine.transport.name === "websocket");
    assert.deepEqual(got, Array.from({ length: 300 }, (_, n) => n));
    reader.disconnect();
  }
  writer.disconnect();
});

test("what natives publish is received, and the reverse", async () => {
  const socket = await connected();
  await ask(socket, "subscribe", "bridge:1");
  const said = event(socket, "say");
  await publish(hub.url, "bridge:1", "say", { text: "from HTTP" });
  const [data, about] = await said;
  assert.deepEqual([data, about.channel], [{ text: "from HTTP" }, "bridge:1"]);

  const native = new WebSocket(`${hub.url.replace("http", "ws")}/v1/ws?channel=bridge:1`);
  const frames = [];
  native.addEventListener("message", (message) => frames.push(JSON.parse(message.data)));
  await until("subscribed", () => frames.some((frame) => frame.type === "subscribed"));
  const heard = event(socket, "ws");
  native.send(JSON.stringify({ type: "publish", channel: "bridge:1", event: "ws", data: [1, 2] }));
  assert.deepEqual((await heard)[0], [1, 2]);

  const stream = await fetch(`${hub.url}/v1/sse?channel=bridge:1`);
  const reader = stream.body.getReader();
  const parked = fetch(`${hub.url}/v1/poll?channel=bridge:1&since=&wait=10`);
  await sleep(100);
  const ack = await ask(socket, "publish", "bridge:1", "io", { b: Buffer.from([1, 2, 3]), text: "é" });
  await until("native heard", () => frames.some((frame) => frame.event === "io"));
  const native_frame = frames.find((frame) => frame.event === "io");
  assert.deepEqual(native_frame.data, { b: { $bytes: "AQID" }, text: "é" });
  assert.equal(native_frame.offset, ack.offset);
  let text = "";
  while (!text.includes("event: io")) text += Buffer.from((await reader.read()).value).toString();
  assert.match(text, new RegExp(`id: ${ack.epoch}-${ack.offset}\\nevent: io`));
  const { messages } = await (await parked).json();
  assert.deepEqual(messages.map((message) => message.event), ["io"]);

  const whole = await ask(socket, "publish", "bridge:1", "raw", Buffer.from([9]));
  await until("native heard bytes", () => frames.some((frame) => frame.event === "raw"));
  const bytes = frames.find((frame) => frame.event === "raw");
  assert.deepEqual([bytes.data, bytes.encoding, bytes.offset], ["CQ==", "base64", whole.offset]);
  await reader.cancel();
  native.close();
  socket.disconnect();
});

test("presence is one, whoever asks", async () => {
  const socket = await connected();
  assert.deepEqual(await ask(socket, "enter", "room:p", { name: "Ada" }), {});
  const native = await (await fetch(`${hub.url}/v1/channels/room:p/presence`)).json();
  assert.deepEqual(native.members.map((member) => member.data), [{ name: "Ada" }]);
  socket.disconnect();
});

test("two namespaces on one connection are two clients on one socket", async () => {
  const main = await connected({ forceNew: true });
  const chat = main.io.socket("/chat");
  await event(chat, "connect");
  assert.notEqual(chat.id, main.id);
  await ask(chat, "subscribe", "lobby");
  await ask(main, "subscribe", "lobby");
  const got = [];
  main.on("say", (text) => got.push(`/ ${text}`));
  chat.on("say", (text) => got.push(`/chat ${text}`));
  await publish(hub.url, "chat:lobby", "say", "in chat");
  await publish(hub.url, "lobby", "say", "in main");
  await until("both came", () => got.length === 2);
  assert.deepEqual(got.sort(), ["/ in main", "/chat in chat"]);
  chat.disconnect();
  await sleep(50);
  assert.equal(main.connected, true);
  assert.equal((await ask(main, "publish", "lobby", "say", 1)).duplicate, false);
  main.disconnect();
});

test("a refused token is a connect_error with code and remedy, and another may follow", async () => {
  let token = "wrong";
  const socket = client({ auth: (give) => give({ token }) });
  const [error] = await event(socket, "connect_error");
  assert.deepEqual([error.data.code, typeof error.data.remedy], ["unauthorized", "string"]);
  assert.equal(socket.active, false, "the client does not try again by itself");
  token = jwt({ sub: "ada" });
  socket.connect();
  await event(socket, "connect");
  assert.equal((await ask(socket, "subscribe", "private:1")).recovered, false);
  const anonymous = await connected();
  assert.equal((await ask(anonymous, "subscribe", "private:1")).error.code, "unauthorized");
  anonymous.disconnect();
  socket.disconnect();
  const nowhere = client({}, "/nowhere");
  assert.equal((await event(nowhere, "connect_error"))[0].message, "Invalid namespace");
});

test("a token that expires closes the transport, so that the client comes back with a new one", async () => {
  let asked = 0;
  const socket = client({
    reconnectionDelay: 50,
    auth: (give) => give({ token: jwt({ sub: "ada", exp: Math.floor(Date.now() / 1000) + (asked++ === 0 ? 2 : 60) }) }),
  });
  await event(socket, "connect");
  const [why] = await event(socket, "disconnect", 6000);
  assert.equal(why, "transport close");
  await event(socket, "connect");
  assert.equal(asked, 2);
  socket.disconnect();
});

test("MessagePack speaks the same", async () => {
  const [packed, plain] = [await connected({ parser: msgpack }), await connected()];
  await ask(packed, "subscribe", "pack:1");
  await ask(plain, "subscribe", "pack:1");
  const heard = [event(packed, "e"), event(plain, "e")];
  const data = { n: 1.5, list: [true, null, -7], bytes: Buffer.from([1, 2]) };
  assert.equal((await ask(packed, "publish", "pack:1", "e", data)).duplicate, false);
  for (const [got] of await Promise.all(heard)) {
    assert.deepEqual({ ...got, bytes: [...got.bytes] }, { ...data, bytes: [1, 2] });
  }
  const refused = await ask(packed, "subscribe", "a b");
  assert.equal(refused.error.code, "bad_request");
  packed.disconnect();
  plain.disconnect();
});

test("Laravel Echo's connector: events, whispers, members", async () => {
  const echo = (token) =>
    new (Echo.default ?? Echo)({
      broadcaster: "socket.io",
      host: hub.url,
      client: io,
      transports: ["websocket"],
      forceNew: true,
      auth: { headers: { Authorization: `Bearer ${token}` } },
    });
  const [ada, bob] = [echo(jwt({ sub: "ada", info: { name: "Ada" } })), echo(jwt({ sub: "bob", info: { name: "Bob" } }))];
  open.push(ada.connector.socket, bob.connector.socket);
  const got = [];
  ada.channel("news").listen(".flash", (data) => got.push(data));
  ada.private("room").listenForWhisper("typing", (data) => got.push(data));
  bob.private("room");
  const events = [];
  ada.join("team")
    .here((members) => events.push(["here", members.map((member) => member?.name)]))
    .joining((member) => events.push(["joining", member?.name]))
    .leaving((member) => events.push(["leaving", member?.name]));
  await until("here", () => events.length > 0);
  bob.join("team");
  await until("joining", () => events.some(([what]) => what === "joining"));
  await sleep(100);
  await publish(hub.url, "news", "flash", { text: "hot" });
  bob.private("room").whisper("typing", { who: "bob" });
  await until("both came", () => got.length === 2);
  assert.deepEqual(got.sort((a, b) => (a.text ? -1 : 1)), [{ text: "hot" }, { who: "bob" }]);
  bob.leave("team");
  await until("leaving", () => events.some(([what]) => what === "leaving"));
  ada.disconnect();
  bob.disconnect();
});

test("a reader that stops reading holds up nobody, and hears all when it goes on", { timeout: 60_000 }, async () => {
  const [slow, quick, writer] = [await connected(), await connected(), await connected()];
  await ask(slow, "subscribe", "slow:1");
  await ask(quick, "subscribe", "slow:1");
  const [late, soon] = [[], []];
  slow.on("n", (n) => late.push(n));
  quick.on("n", (n) => soon.push(n));
  const tcp = slow.io.engine.transport.ws._socket;
  tcp.pause();
  const text = "x".repeat(10_000);
  for (let n = 0; n < 900; n++) await ask(writer, "publish", "slow:1", "n", { n, text });
  await until("the quick one heard all", () => soon.length === 900, 20_000);
  assert.ok(late.length < 900);
  tcp.resume();
  await until("the slow one heard all", () => late.length === 900, 20_000);
  assert.deepEqual(late.map(({ n }) => n), Array.from({ length: 900 }, (_, n) => n));
  [slow, quick, writer].forEach((socket) => socket.disconnect());
});

test("a schema that lists the application's events leaves the words that need no code to the hub", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fanfare-schema-"));
  const schema = join(directory, "chat.schema.json");
  writeFileSync(schema, JSON.stringify({ events: { say: { type: "string" }, DO: true, history: { type: "number" } }, others: "refuse" }));
  const asked = [];
  const application = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      asked.push(JSON.parse(body).event);
      response.end(JSON.stringify({ reply: ["done"] }));
    });
  });
  await new Promise((done) => application.listen(0, "127.0.0.1", done));
  const own = await start(`
    [socketio]
    enabled = true
    [hooks]
    url = "http://127.0.0.1:${application.address().port}"
    secret = "${SECRET}"
    events = ["call"]
    private_addresses = true
    [namespaces.chat]
    schema = ${JSON.stringify(schema)}
    anonymous = ["subscribe", "publish"]
  `);
  const socket = io(`${own.url}/chat`, { forceNew: true, transports: ["websocket"] });
  open.push(socket);
  await event(socket, "connect");
  const code = async (...args) => (await ask(socket, ...args)).error?.code;
  assert.equal(await code("subscribe", "room"), undefined);
  const said = event(socket, "say");
  assert.equal(await code("publish", "room", "say", "hi"), undefined);
  assert.equal((await said)[0], "hi");
  assert.equal(await code("publish", "room", "say", 1), "bad_request");
  assert.equal(await code("publish", "room", "other", 1), "bad_request");
  assert.equal(await code("other", 1), "bad_request");
  // A word that the schema means is the application's.
  assert.equal(await code("history", "room"), "bad_request");
  assert.deepEqual(asked, []);
  assert.equal(await ask(socket, "DO", 1), "done");
  assert.deepEqual(asked, ["DO"]);
  socket.disconnect();
  await own.stop();
  application.close();
  rmSync(directory, { recursive: true, force: true });
});
