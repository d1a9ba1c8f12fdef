// The unmodified socket.io-client in a real browser: `npm run test:browser`. Chromium is CHROMIUM_BIN, or where systems have it.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { proxy, publish, start, until } from "../support.mjs";

const USUAL = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const CLIENT = fileURLToPath(new URL("../node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url));
const ELSEWHERE = "http://localhost:4321";
const PAGE = "<!doctype html><title>socket.io-client</title>";

let [hub, browser] = [];
before(async () => {
  const places = process.env.CHROMIUM_BIN ? [process.env.CHROMIUM_BIN] : USUAL;
  const executablePath = places.find(existsSync);
  if (!executablePath) throw new Error(`no Chromium at ${places.join(", ")}: install it, or set CHROMIUM_BIN`);
  browser = await chromium.launch({
    executablePath,
    // Pages that a test answers itself count as the internet's, which must not reach this machine.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-features=LocalNetworkAccessChecks"],
  });
  hub = await start(`
    [socketio]
    enabled = true
    [auth]
    allowed_origins = ["${ELSEWHERE}"]
    [namespaces.default]
    history = { size = 10000 }
    anonymous = ["subscribe", "publish", "history"]
  `);
});
after(async () => {
  await browser?.close();
  await hub?.stop();
});

/** A page of this origin that has the client's own file, and nothing else. */
async function page(origin) {
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.route(`${origin}/page`, (route) => route.fulfill({ contentType: "text/html", body: PAGE }));
  await tab.goto(`${origin}/page`);
  await tab.addScriptTag({ path: CLIENT });
  return { context, tab };
}

/** Connects, subscribes, and gathers in `got` what comes; `log` has what happened to the connection. */
const connect = (tab, url, channel, options) =>
  tab.evaluate(async ([url, channel, options]) => {
    const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
    Object.assign(window, { socket, got: [], log: [] });
    socket.on("connect", () => log.push(`connect ${socket.recovered}`));
    socket.on("disconnect", (why) => log.push(why));
    socket.on("connect_error", (error) => log.push(error.message));
    socket.on("n", (n) => got.push(n));
    await new Promise((done) => socket.once("connect", done));
    return await socket.timeout(5000).emitWithAck("subscribe", channel);
  }, [url, channel, options]);
const got = (tab) => tab.evaluate(() => got);
const transport = (tab) => tab.evaluate(() => socket.io.engine.transport.name);
const range = (n) => Array.from({ length: n }, (_, i) => i);

/** Publishes numbers, the first of them first. */
async function say(channel, from, to) {
  for (let n = from; n < to; n++) await publish(hub.url, channel, "n", n);
}

const TRANSPORTS = { "polling only": ["polling"], "WebSocket only": ["websocket"] };
for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: in order, once; bytes both ways`, { timeout: 60_000 }, async () => {
    const { context, tab } = await page(hub.url);
    const channel = `page:${transports[0]}`;
    assert.equal((await connect(tab, hub.url, channel, { transports })).recovered, false);
    await say(channel, 0, 100);
    await until("all came", async () => (await got(tab)).length >= 100);
    assert.deepEqual(await got(tab), range(100));
    const offsets = await tab.evaluate(async (channel) => {
      const acks = [];
      for (let n = 100; n < 200; n++) acks.push(socket.timeout(5000).emitWithAck("publish", channel, "n", n));
      return (await Promise.all(acks)).map((ack) => ack.offset);
    }, channel);
    assert.deepEqual(offsets, range(100).map((n) => n + 101));
    await until("its own came", async () => (await got(tab)).length >= 200);
    assert.deepEqual(await got(tab), range(200));
    const back = await tab.evaluate(async (channel) => {
      const heard = new Promise((done) => socket.once("bytes", done));
      const bytes = new Uint8Array([0, 1, 254, 255]);
      const blob = new Blob(["blob"]);
      socket.emit("publish", channel, "bytes", { whole: bytes, inside: [bytes.buffer, blob], text: "é" });
      const data = await heard;
      const list = (bytes) => [...new Uint8Array(bytes)];
      return [list(data.whole), list(data.inside[0]), new TextDecoder().decode(data.inside[1]), data.text];
    }, channel);
    assert.deepEqual(back, [[0, 1, 254, 255], [0, 1, 254, 255], "blob", "é"]);
    assert.deepEqual(await tab.evaluate(() => log), ["connect false"]);
    assert.equal(await transport(tab), transports[0]);
    await context.close();
  });
}

test("an upgrade in the middle of a stream loses and repeats nothing", { timeout: 60_000 }, async () => {
  const { context, tab } = await page(hub.url);
  for (let round = 0; round < 3; round++) {
    const channel = `page:upgrade-${round}`;
    const saying = connect(tab, hub.url, channel, { transports: ["polling", "websocket"] }).then(() => say(channel, 0, 100));
    await saying;
    await until("upgraded", async () => (await transport(tab)) === "websocket");
    await say(channel, 100, 150);
    await until("all came", async () => (await got(tab)).length >= 150);
    assert.deepEqual(await got(tab), range(150));
    assert.deepEqual(await tab.evaluate(() => log), ["connect false"]);
    await tab.evaluate(() => socket.disconnect());
  }
  await context.close();
});

describe("offline and online again", () => {
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    test(`${transports}: recovered, all once, in order`, { timeout: 60_000 }, async () => {
      const { context, tab } = await page(hub.url);
      const channel = `page:offline-${transports.join("-")}`;
      await connect(tab, hub.url, channel, { transports });
      await say(channel, 0, 20);
      await until("the first came", async () => (await got(tab)).length === 20);
      const id = await tab.evaluate(() => socket.id);
      await context.setOffline(true);
      await until("it has noticed", () => tab.evaluate(() => !socket.connected), 20_000);
      await say(channel, 20, 60);
      await context.setOffline(false);
      await until("all came", async () => (await got(tab)).length >= 60, 20_000);
      await say(channel, 60, 80);
      await until("live again", async () => (await got(tab)).length >= 80);
      assert.deepEqual(await got(tab), range(80));
      assert.equal(await tab.evaluate(() => socket.id), id);
      const log = await tab.evaluate(() => log);
      assert.equal(log.at(-1), "connect true", log.join(", "));
      assert.equal(log.filter((line) => line.startsWith("connect ")).length, 2, log.join(", "));
      await context.close();
    });
  }
});

test("a connection that is cut again and again is recovered each time", { timeout: 60_000 }, async () => {
  const { context, tab } = await page(hub.url);
  const between = await proxy(hub.port);
  // Another port is another origin: the page of the hub's own counts for the hub, not for the proxy.
  await tab.route(`${between.url}/page`, (route) => route.fulfill({ contentType: "text/html", body: PAGE }));
  await tab.goto(`${between.url}/page`);
  await tab.addScriptTag({ path: CLIENT });
  await connect(tab, between.url, "page:cut", { transports: ["websocket"] });
  for (let round = 0; round < 10; round++) {
    await say("page:cut", round * 10, round * 10 + 5);
    const connects = await tab.evaluate(() => log.filter((line) => line.startsWith("connect ")).length);
    between.cut();
    await say("page:cut", round * 10 + 5, round * 10 + 10);
    await until("back", async () => (await tab.evaluate(() => log.filter((line) => line.startsWith("connect ")).length)) > connects);
  }
  await until("all came", async () => (await got(tab)).length >= 100);
  assert.deepEqual(await got(tab), range(100));
  const log = await tab.evaluate(() => log);
  assert.equal(log.filter((line) => line === "connect true").length, 10, log.join(", "));
  await context.close();
  between.stop();
});

test("a page from elsewhere connects over each transport, and one that is not allowed cannot poll", { timeout: 60_000 }, async () => {
  const { context, tab } = await page(ELSEWHERE);
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const channel = `page:elsewhere-${transports.join("-")}`;
    await connect(tab, hub.url, channel, { transports });
    await say(channel, 0, 5);
    await until("all came", async () => (await got(tab)).length === 5);
    await tab.evaluate(() => socket.disconnect());
  }
  await context.close();
  const stranger = await page("http://localhost:4322");
  const [error] = await stranger.tab.evaluate(async (url) => {
    const socket = io(url, { forceNew: true, transports: ["polling"], reconnection: false });
    return await new Promise((done) => {
      socket.on("connect_error", (error) => done([error.message]));
      socket.on("connect", () => done(["connected"]));
    });
  }, hub.url);
  assert.equal(error, "xhr poll error");
  await stranger.context.close();
});
