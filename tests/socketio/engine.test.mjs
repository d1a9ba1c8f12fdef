// Engine.IO by hand: every fault with its exact status, code and packet.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { Raw, engine, get, joined, polling, post, sleep, start } from "./support.mjs";

let hub;
before(async () => {
  hub = await start(`
    [socketio]
    enabled = true
    ping_interval = "300ms"
    ping_timeout = "200ms"
    connect_timeout = "5s"
    max_payload = "100KB"
    [namespaces.default]
    anonymous = ["subscribe", "publish"]
  `);
});
after(() => hub?.stop());

const ask = async (query, options) => {
  const response = await fetch(`${hub.url}/socket.io/${query}`, options);
  return [response.status, await response.text()];
};

describe("handshake", () => {
  test("opens with exactly five keys", async () => {
    const response = await fetch(`${hub.url}/socket.io/?EIO=4&transport=polling`);
    assert.equal(response.status, 200);
    const body = await response.text();
    assert.equal(body[0], "0");
    const open = JSON.parse(body.slice(1));
    assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.deepEqual({ ...open, sid: "" }, {
      sid: "", upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200, maxPayload: 100_000,
    });
    const raw = await engine(hub.url);
    assert.deepEqual(JSON.parse(raw.open.slice(1)).upgrades, []);
    raw.close();
  });

  test("faults have their numbers", async () => {
    const unknown = [400, '{"code":0,"message":"Transport unknown"}'];
    const version = [400, '{"code":5,"message":"Unsupported protocol version"}'];
    const session = [400, '{"code":1,"message":"Session ID unknown"}'];
    const method = [400, '{"code":2,"message":"Bad handshake method"}'];
    const bad = [400, '{"code":3,"message":"Bad request"}'];
    assert.deepEqual(await ask("?EIO=4"), unknown);
    assert.deepEqual(await ask("?EIO=4&transport=abc"), unknown);
    assert.deepEqual(await ask("?transport=polling"), version);
    assert.deepEqual(await ask("?EIO=abc&transport=polling"), version);
    assert.deepEqual(await ask("?EIO=3&transport=polling"), version);
    assert.deepEqual(await ask("?EIO=4&transport=polling&sid=nobody"), session);
    assert.deepEqual(await ask("?EIO=4&transport=polling&sid=nobody", { method: "POST", body: "4a" }), session);
    assert.deepEqual(await ask("?EIO=4&transport=polling", { method: "POST" }), method);
    assert.deepEqual(await ask("?EIO=4&transport=polling", { method: "PUT" }), method);
    assert.deepEqual(await ask("?EIO=4&transport=websocket"), bad);
  });

  test("a WebSocket is refused with the same status", async () => {
    for (const query of ["EIO=abc&transport=websocket", "EIO=4&transport=abc", "transport=websocket", "EIO=4",
      "EIO=4&transport=websocket&sid=nobody"]) {
      const raw = new Raw(`${hub.url.replace("http", "ws")}/socket.io/?${query}`);
      await raw.end();
      assert.equal(raw.status, 400, query);
    }
  });
});

describe("polling", () => {
  test("a POST is answered ok and a GET drains", async () => {
    const sid = await polling(hub.url);
    const pushed = await post(hub.url, sid, "40");
    assert.deepEqual([pushed.status, await pushed.text()], [200, "ok"]);
    const drained = await get(hub.url, sid);
    assert.equal(drained.status, 200);
    assert.match(drained.headers.get("content-type"), /^text\/plain/);
    assert.match(await drained.text(), /^40\{"sid":"[^"]+","pid":"[^"]+"\}/);
  });

  test("several packets travel in one payload, bytes as base64", async () => {
    const sid = await polling(hub.url);
    const body = '40\u001e451-1["publish","poll:bytes","b",{"_placeholder":true,"num":0}]\u001ebAQID';
    // An event before CONNECT was answered would break a rule: so in two steps.
    assert.equal((await post(hub.url, sid, "40")).status, 200);
    await (await get(hub.url, sid)).text();
    assert.equal((await post(hub.url, sid, '420["subscribe","poll:bytes"]\u001e' + body.slice(3))).status, 200);
    let text = "";
    for (let n = 0; n < 5 && !text.includes("bAQID"); n++) text += "\u001e" + (await (await get(hub.url, sid)).text());
    const packets = text.split("\u001e").filter((packet) => packet && packet !== "2");
    assert.ok(packets.some((packet) => packet.startsWith("430[{")), text);
    assert.ok(packets.some((packet) => packet.startsWith("431[{")), text);
    const at = packets.findIndex((packet) => packet.startsWith('451-["b",{"_placeholder":true,"num":0}'));
    assert.equal(packets[at + 1], "bAQID", text);
  });

  test("a POST of many packets is taken as fast as its answers are fetched", { timeout: 30_000 }, async () => {
    const sid = await polling(hub.url);
    await post(hub.url, sid, "40");
    await (await get(hub.url, sid)).text();
    const count = 2000;
    const packets = Array.from({ length: count }, (_, n) => `42${n}["nonsense"]`);
    let taken = false;
    const pushed = post(hub.url, sid, packets.join("\u001e")).then((response) => {
      taken = true;
      return response.text();
    });
    await sleep(200);
    assert.equal(taken, false, "not before there is room for its answers");
    const answers = [];
    while (answers.length < count) {
      const text = await (await get(hub.url, sid)).text();
      for (const packet of text.split("\u001e")) {
        // The answer to a ping would wait for the POST under way: a client sends one at a time.
        if (packet !== "2") answers.push(Number(/^43(\d+)\[/.exec(packet)[1]));
      }
    }
    assert.equal(await pushed, "ok");
    assert.deepEqual(answers, Array.from({ length: count }, (_, n) => n));
  });

  test("overlapping GETs close the session: the first gets 1, the second 400", async () => {
    const sid = await polling(hub.url);
    const first = get(hub.url, sid);
    await sleep(50);
    const second = await get(hub.url, sid);
    assert.equal(second.status, 400);
    const answer = await first;
    assert.deepEqual([answer.status, await answer.text()], [200, "1"]);
    assert.equal((await get(hub.url, sid)).status, 400);
  });

  test("an aborted GET closes the session", async () => {
    const sid = await polling(hub.url);
    const abort = new AbortController();
    const pending = fetch(`${hub.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { signal: abort.signal });
    await sleep(50);
    abort.abort();
    await assert.rejects(pending);
    await sleep(1300);
    assert.equal((await get(hub.url, sid)).status, 400);
  });

  test("a body over the limit is 413", async () => {
    const sid = await polling(hub.url);
    assert.equal((await post(hub.url, sid, "4" + "x".repeat(100_001))).status, 413);
  });

  test("a body that is none is 400 and closes", async () => {
    for (const body of ["abc", "4a\u001e", "b***", ""]) {
      const sid = await polling(hub.url);
      assert.equal((await post(hub.url, sid, body)).status, 400, body);
      assert.equal((await get(hub.url, sid)).status, 400, body);
    }
  });

  test("a client that says goodbye frees its GET", async () => {
    const sid = await polling(hub.url);
    const pending = get(hub.url, sid);
    await sleep(50);
    assert.equal((await post(hub.url, sid, "1")).status, 200);
    const answer = await pending;
    assert.deepEqual([answer.status, await answer.text()], [200, "6"]);
    assert.equal((await get(hub.url, sid)).status, 400);
  });

  test("the server pings, and who does not answer is gone", async () => {
    const sid = await polling(hub.url);
    assert.equal(await (await get(hub.url, sid)).text(), "2");
    assert.equal((await post(hub.url, sid, "3")).status, 200);
    assert.equal(await (await get(hub.url, sid)).text(), "2");
    await sleep(600);
    assert.equal((await get(hub.url, sid)).status, 400);
  });
});

describe("websocket", () => {
  test("the server pings, and who does not answer is gone", async () => {
    const raw = await engine(hub.url);
    for (let n = 0; n < 3; n++) {
      assert.equal(await raw.next(), "2");
      raw.send("3");
    }
    assert.equal(await raw.next(), "2");
    await raw.end(1000);
  });

  test("a bad packet closes, and so does goodbye", async () => {
    for (const packet of ["abc", "2", "5", "0", "1", "", "9"]) {
      const raw = await engine(hub.url);
      raw.send(packet);
      await raw.end(1000);
    }
  });

  test("a frame over the limit closes", async () => {
    const raw = await engine(hub.url);
    raw.send("4" + "x".repeat(100_001));
    assert.equal((await raw.end(2000)).code, 1009);
  });
});

describe("upgrade", () => {
  const probe = async (sid) => {
    const raw = await new Raw(`${hub.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${sid}`).opened();
    raw.send("2probe");
    assert.equal(await raw.next(), "3probe");
    return raw;
  };
  const skippingPings = async (raw) => {
    for (;;) {
      const frame = await raw.next();
      if (frame !== "2") return frame;
      raw.send("3");
    }
  };

  test("a WebSocket takes over: the GET that waits is freed, later ones are 400, another WebSocket is closed", async () => {
    const sid = await polling(hub.url);
    const pending = get(hub.url, sid);
    const raw = await probe(sid);
    const freed = await pending;
    assert.deepEqual([freed.status, await freed.text()], [200, "6"]);
    raw.send("5");
    raw.send("40");
    assert.match(await skippingPings(raw), /^40\{"sid":/);
    assert.equal((await get(hub.url, sid)).status, 400);
    assert.equal((await post(hub.url, sid, "4a")).status, 400);
    const second = new Raw(`${hub.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
    await second.end(2000);
    raw.send('420["publish","up:1","e",1]');
    assert.match(await skippingPings(raw), /^430\[\{"epoch":/);
    raw.close();
  });

  test("a WebSocket that says something else takes nothing over", async () => {
    const sid = await polling(hub.url);
    const raw = await new Raw(`${hub.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${sid}`).opened();
    raw.send("4a");
    await raw.end(2000);
    assert.equal((await post(hub.url, sid, "40")).status, 200);
    assert.match(await (await get(hub.url, sid)).text(), /^40\{/);
    (await probe(sid)).close();
  });
});

test("a connection that joins nothing ends", { timeout: 10_000 }, async () => {
  const raw = await engine(hub.url);
  const began = Date.now();
  const pong = setInterval(() => raw.socket.readyState === 1 && raw.send("3"), 100);
  await raw.end(7000);
  clearInterval(pong);
  assert.ok(Date.now() - began > 4500, `${Date.now() - began} ms`);
  const kept = await joined(hub.url);
  kept.close();
});
