// What the suites of the protocols' own repositories check (25 of Engine.IO, 32 of Socket.IO), by hand, against examples/socketio_conformance.rs.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Raw, engine, get, polling, post, sleep, until } from "./support.mjs";

const BIN = process.env.CONFORMANCE_BIN
  ?? new URL("../../target/debug/examples/socketio_conformance", import.meta.url).pathname;
const ENGINE = "/engine.io/";
const INTERVAL = 300;
const TIMEOUT = 200;

let server;
let url;
before(async () => {
  server = spawn(BIN, ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  server.stdout.on("data", (data) => (out += data));
  await until("listening", () => /listening on (\S+)/.test(out), 20_000);
  url = /listening on (\S+)/.exec(out)[1];
});
after(async () => {
  server.kill();
  await once(server, "exit");
});

/** A payload without the pings that may have fallen into it. */
const unpinged = (text) => text.split("\x1e").filter((packet) => packet !== "2").join("\x1e");

const ws = (query, path = ENGINE) => new Raw(`${url.replace("http", "ws")}${path}?${query}`);

describe("Engine.IO", () => {
  describe("handshake", () => {
    test("polling opens a session", async () => {
      const response = await fetch(`${url}${ENGINE}?EIO=4&transport=polling`);
      assert.equal(response.status, 200);
      const content = await response.text();
      assert.equal(content[0], "0");
      const value = JSON.parse(content.slice(1));
      assert.deepEqual(Object.keys(value).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
      assert.equal(typeof value.sid, "string");
      assert.deepEqual(value.upgrades, ["websocket"]);
      assert.deepEqual([value.pingInterval, value.pingTimeout, value.maxPayload], [INTERVAL, TIMEOUT, 1_000_000]);
    });
    for (const [name, query, options] of [
      ["an invalid EIO", "EIO=abc&transport=polling"],
      ["no EIO", "transport=polling"],
      ["an invalid transport", "EIO=4&transport=abc"],
      ["no transport", "EIO=4"],
      ["POST", "EIO=4&transport=polling", { method: "POST" }],
      ["PUT", "EIO=4&transport=polling", { method: "PUT" }],
    ]) {
      test(`polling fails with ${name}`, async () => {
        assert.equal((await fetch(`${url}${ENGINE}?${query}`, options)).status, 400);
      });
    }
    test("WebSocket opens a session", async () => {
      const raw = await engine(url, ENGINE);
      const value = JSON.parse(raw.open.slice(1));
      assert.deepEqual(Object.keys(value).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
      assert.deepEqual(value.upgrades, []);
      raw.close();
    });
    for (const query of ["EIO=abc&transport=websocket", "transport=websocket", "EIO=4&transport=abc", "EIO=4"]) {
      test(`WebSocket fails with ${query}`, () => ws(query).end());
    }
  });

  describe("message", () => {
    test("polling: one packet", async () => {
      const sid = await polling(url, ENGINE);
      const pushed = await post(url, sid, "4hello", ENGINE);
      assert.deepEqual([pushed.status, await pushed.text()], [200, "ok"]);
      const pulled = await get(url, sid, ENGINE);
      assert.deepEqual([pulled.status, await pulled.text()], [200, "4hello"]);
    });
    test("polling: several packets, bytes among them", async () => {
      const sid = await polling(url, ENGINE);
      assert.equal((await post(url, sid, "4test1\x1e4test2\x1e4test3", ENGINE)).status, 200);
      assert.equal(unpinged(await (await get(url, sid, ENGINE)).text()), "4test1\x1e4test2\x1e4test3");
      assert.equal((await post(url, sid, "4hello\x1ebAQIDBA==", ENGINE)).status, 200);
      assert.equal(unpinged(await (await get(url, sid, ENGINE)).text()), "4hello\x1ebAQIDBA==");
    });
    test("polling: an invalid packet closes", async () => {
      const sid = await polling(url, ENGINE);
      assert.equal((await post(url, sid, "abc", ENGINE)).status, 400);
      assert.equal((await get(url, sid, ENGINE)).status, 400);
    });
    test("polling: overlapping requests close", async () => {
      const sid = await polling(url, ENGINE);
      const first = get(url, sid, ENGINE);
      await sleep(5);
      const answers = await Promise.all([first, get(url, sid, ENGINE)]);
      assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 400]);
      const good = answers.find((answer) => answer.status === 200);
      assert.equal(await good.text(), "1");
      assert.equal((await get(url, sid, ENGINE)).status, 400);
    });
    test("WebSocket: text and bytes", async () => {
      const raw = await engine(url, ENGINE);
      raw.send("4hello");
      assert.equal(await raw.next(), "4hello");
      raw.send(Buffer.from([1, 2, 3, 4]));
      assert.deepEqual([...(await raw.next())], [1, 2, 3, 4]);
      raw.close();
    });
    test("WebSocket: an invalid packet closes", async () => {
      const raw = await engine(url, ENGINE);
      raw.send("abc");
      await raw.end();
    });
  });

  describe("heartbeat", () => {
    test("polling", async () => {
      const sid = await polling(url, ENGINE);
      for (let n = 0; n < 3; n++) {
        const pulled = await get(url, sid, ENGINE);
        assert.deepEqual([pulled.status, await pulled.text()], [200, "2"]);
        assert.equal((await post(url, sid, "3", ENGINE)).status, 200);
      }
    });
    test("polling: closes without an answer", async () => {
      const sid = await polling(url, ENGINE);
      await sleep(INTERVAL + TIMEOUT + 50);
      assert.equal((await get(url, sid, ENGINE)).status, 400);
    });
    test("WebSocket", async () => {
      const raw = await engine(url, ENGINE);
      for (let n = 0; n < 3; n++) {
        assert.equal(await raw.next(), "2");
        raw.send("3");
      }
      raw.close();
    });
    test("WebSocket: closes without an answer", async () => {
      const raw = await engine(url, ENGINE);
      await raw.end(INTERVAL + TIMEOUT + 500);
    });
  });

  describe("close", () => {
    test("polling", async () => {
      const sid = await polling(url, ENGINE);
      const [pulled] = await Promise.all([get(url, sid, ENGINE), sleep(20).then(() => post(url, sid, "1", ENGINE))]);
      assert.deepEqual([pulled.status, await pulled.text()], [200, "6"]);
      assert.equal((await get(url, sid, ENGINE)).status, 400);
    });
    test("WebSocket", async () => {
      const raw = await engine(url, ENGINE);
      raw.send("1");
      await raw.end();
    });
  });

  describe("upgrade", () => {
    const upgraded = async () => {
      const sid = await polling(url, ENGINE);
      const raw = await ws(`EIO=4&transport=websocket&sid=${sid}`).opened();
      raw.send("2probe");
      assert.equal(await raw.next(), "3probe");
      raw.send("5");
      return [sid, raw];
    };
    const echoes = async (raw) => {
      raw.send("4hello");
      let frame;
      while ((frame = await raw.next()) === "2") raw.send("3");
      assert.equal(frame, "4hello");
      raw.close();
    };
    test("from polling to WebSocket", async () => echoes((await upgraded())[1]));
    test("later requests with that sid are refused", async () => {
      const [sid, raw] = await upgraded();
      await sleep(20);
      assert.equal((await get(url, sid, ENGINE)).status, 400);
      await echoes(raw);
    });
    test("another WebSocket with that sid is closed", async () => {
      const [sid, raw] = await upgraded();
      await ws(`EIO=4&transport=websocket&sid=${sid}`).end();
      await echoes(raw);
    });
  });
});

describe("Socket.IO", () => {
  /** The next packet that is no ping. */
  const next = async (raw) => {
    for (;;) {
      const frame = await raw.next();
      if (frame !== "2") return frame;
      raw.send("3");
    }
  };
  const connected = async () => {
    const raw = await engine(url);
    raw.send("40");
    assert.match(await next(raw), /^40\{"sid":"[^"]+"\}$/);
    assert.equal(await next(raw), '42["auth",{}]');
    return raw;
  };

  describe("connect", () => {
    for (const [name, sent, reply, auth] of [
      ["the main namespace", "40", /^40\{"sid":"[^"]+"\}$/, '42["auth",{}]'],
      ["the main namespace with a payload", '40{"token":"123"}', /^40\{"sid":/, '42["auth",{"token":"123"}]'],
      ["a custom namespace", "40/custom,", /^40\/custom,\{"sid":"[^"]+"\}$/, '42/custom,["auth",{}]'],
      ["a custom namespace with a payload", '40/custom,{"token":"abc"}', /^40\/custom,\{/, '42/custom,["auth",{"token":"abc"}]'],
    ]) {
      test(name, async () => {
        const raw = await engine(url);
        raw.send(sent);
        assert.match(await next(raw), reply);
        assert.equal(await next(raw), auth);
        raw.close();
      });
      test(`${name}, over polling`, async () => {
        const sid = await polling(url);
        assert.equal((await post(url, sid, sent)).status, 200);
        let text = "";
        while (!text.includes(auth)) text += `${await (await get(url, sid)).text()}\x1e`;
        assert.ok(text.split("\x1e").some((packet) => reply.test(packet)), text);
      });
    }
    test("an unknown namespace is refused", async () => {
      const raw = await engine(url);
      raw.send("40/random");
      assert.equal(await next(raw), '44/random,{"message":"Invalid namespace"}');
      raw.close();
    });
    test("an invalid handshake closes", async () => {
      const raw = await engine(url);
      raw.send("4abc");
      await raw.end();
    });
    test("no handshake closes", async () => {
      const raw = await engine(url);
      const answering = setInterval(() => raw.socket.readyState === 1 && raw.send("3"), 100);
      await raw.end(2000);
      clearInterval(answering);
    });
  });

  describe("disconnect", () => {
    test("from the main namespace", async () => {
      const raw = await connected();
      raw.send("41");
      assert.equal(await raw.next(), "2");
      raw.close();
    });
    test("from a custom namespace", async () => {
      const raw = await connected();
      raw.send("40/custom");
      assert.match(await next(raw), /^40\/custom,/);
      assert.equal(await next(raw), '42/custom,["auth",{}]');
      raw.send("41/custom");
      raw.send('42["message","message to main namespace"]');
      assert.equal(await next(raw), '42["message-back","message to main namespace"]');
      raw.close();
    });
  });

  describe("message", () => {
    test("text", async () => {
      const raw = await connected();
      raw.send('42["message",1,"2",{"3":[true]}]');
      assert.equal(await next(raw), '42["message-back",1,"2",{"3":[true]}]');
      raw.close();
    });
    test("bytes", async () => {
      const raw = await connected();
      raw.send('452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
      raw.send(Buffer.from([1, 2, 3]));
      raw.send(Buffer.from([4, 5, 6]));
      assert.equal(await next(raw), '452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
      assert.deepEqual([...(await next(raw))], [1, 2, 3]);
      assert.deepEqual([...(await next(raw))], [4, 5, 6]);
      raw.close();
    });
    test("text with an ack", async () => {
      const raw = await connected();
      raw.send('42456["message-with-ack",1,"2",{"3":[false]}]');
      assert.equal(await next(raw), '43456[1,"2",{"3":[false]}]');
      raw.close();
    });
    test("bytes with an ack", async () => {
      const raw = await connected();
      raw.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
      raw.send(Buffer.from([1, 2, 3]));
      raw.send(Buffer.from([4, 5, 6]));
      assert.equal(await next(raw), '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
      assert.deepEqual([...(await next(raw))], [1, 2, 3]);
      assert.deepEqual([...(await next(raw))], [4, 5, 6]);
      raw.close();
    });
    for (const [name, packet] of [
      ["an unknown type", "4abc"],
      ["an invalid payload", "42{}"],
      ["an invalid ack id", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ]) {
      test(`${name} closes`, async () => {
        const raw = await connected();
        raw.send(packet);
        await raw.end();
      });
    }
    test("many, in order", async () => {
      const raw = await connected();
      for (let n = 0; n < 100; n++) raw.send(`42["message",${n}]`);
      for (let n = 0; n < 100; n++) assert.equal(await next(raw), `42["message-back",${n}]`);
      raw.close();
    });
  });
});
