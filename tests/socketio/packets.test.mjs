// Socket.IO's packets by hand, on a hub without any code of an application's.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { engine, joined, publish, sleep, start } from "./support.mjs";

let hub;
before(async () => {
  hub = await start(`
    [socketio]
    enabled = true
    namespaces = 3
    [limits]
    message_bytes = 1000
    [namespaces.default]
    history = { size = 100 }
    presence = true
    anonymous = ["subscribe", "publish", "presence", "enter", "history"]
    [namespaces.chat]
    anonymous = ["subscribe", "publish"]
    [namespaces.other]
    anonymous = []
  `);
});
after(() => hub?.stop());

describe("connect", () => {
  test("is answered with an id and the secret to go on with", async () => {
    const raw = await joined(hub.url);
    assert.match(raw.connect, /^40\{"sid":"[A-Za-z0-9_-]{20}","pid":"[A-Za-z0-9_-]{20}"\}$/);
    raw.send("40/chat,");
    assert.match(await raw.next(), /^40\/chat,\{"sid":"[^"]+","pid":"[^"]+"\}$/);
    raw.close();
  });

  test("to a namespace that does not exist is refused, and the connection goes on", async () => {
    const raw = await engine(hub.url);
    for (const namespace of ["/nowhere", "/nowhere?a=b", "/chat/x", "/default"]) {
      raw.send(`40${namespace},{"token":"x"}`);
      assert.equal(await raw.next(), `44${namespace},{"message":"Invalid namespace"}`);
    }
    raw.send("40");
    assert.match(await raw.next(), /^40\{"sid"/);
    raw.close();
  });

  test("with a token that is none is refused with code and remedy", async () => {
    const raw = await engine(hub.url);
    raw.send('40{"token":"not.a.token"}');
    const refused = await raw.next();
    assert.match(refused, /^44\{"message":/);
    const { message, data } = JSON.parse(refused.slice(2));
    assert.equal(typeof message, "string");
    assert.equal(data.code, "unauthorized");
    assert.equal(typeof data.remedy, "string");
    raw.send("40");
    assert.match(await raw.next(), /^40\{"sid"/);
    raw.close();
  });
});

test("leaving a namespace leaves the others, and nothing is said", async () => {
  const raw = await joined(hub.url);
  raw.send("40/chat,");
  await raw.next();
  raw.send("41/chat,");
  raw.send('420["publish","a","e",1]');
  assert.match(await raw.next(), /^430\[\{"epoch"/);
  raw.send("40/chat,");
  assert.match(await raw.next(), /^40\/chat,\{"sid"/);
  raw.close();
});

describe("what closes the connection", () => {
  const fatal = {
    "an event before CONNECT": [[], '42["e"]'],
    "an event of a namespace that was not joined": [["40"], '42/chat,["e"]'],
    "an event after leaving": [["40", "40/chat,", "41/chat,"], '42/chat,["e"]'],
    "a second CONNECT": [["40"], "40"],
    "more namespaces than may be": [["40", "40/chat,", "40/other,"], "40/x,"],
    "an unknown type": [["40"], "49"],
    "CONNECT_ERROR, which is the server's": [["40"], '44{"message":"x"}'],
    "CONNECT with something else than an object": [[], "40[]"],
    "an event that is no array": [["40"], "42{}"],
    "an event without a name": [["40"], "42[]"],
    "an event without anything": [["40"], "42"],
    "an event whose name is an object": [["40"], "42[{}]"],
    "JSON that is none": [["40"], '42["e"'],
    "an ack id that is no number": [["40"], '42abc["e"]'],
    "an ack that is no array": [["40"], "431{}"],
    "an event named connect": [["40"], '42["connect"]'],
    "an event named connect_error": [["40"], '42["connect_error"]'],
    "an event named disconnect": [["40"], '42["disconnect"]'],
    "an event named disconnecting": [["40"], '42["disconnecting"]'],
    "an event named newListener": [["40"], '42["newListener"]'],
    "an event named removeListener": [["40"], '42["removeListener"]'],
    "too many attachments": [["40"], '4511-["e"]'],
    "attachments without a number": [["40"], '45-["e"]'],
    "JSON that nests too deep": [["40"], `42["e",${"[".repeat(100)}${"]".repeat(100)}]`],
    "bytes that nobody announced": [["40"], Buffer.from([1])],
    "text between a packet and its attachments": [["40", '451-["e",{"_placeholder":true,"num":0}]'], '42["e"]'],
    "a placeholder out of range": [["40", '451-["e",{"_placeholder":true,"num":1}]'], Buffer.from([1])],
    "a placeholder that comes twice": [
      ["40", '452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', Buffer.from([1])],
      Buffer.from([2]),
    ],
  };
  for (const [name, [before, last]] of Object.entries(fatal)) {
    test(name, async () => {
      const raw = await engine(hub.url);
      for (const packet of before) {
        raw.send(packet);
        if (typeof packet === "string" && packet.startsWith("40")) await raw.next();
      }
      await sleep(20);
      assert.equal(raw.socket.readyState, 1, "open until then");
      raw.send(last);
      await raw.end(2000);
    });
  }
});

describe("the words that need no code", () => {
  const ask = async (raw, id, ...args) => {
    raw.send(`42${id}${JSON.stringify(args)}`);
    for (;;) {
      const frame = await raw.next();
      if (typeof frame === "string" && frame.startsWith(`43${id}[`)) return JSON.parse(frame.slice(2 + String(id).length))[0];
      raw.events = [...(raw.events ?? []), frame];
    }
  };

  test("subscribe, publish, history, unsubscribe", async () => {
    const raw = await joined(hub.url);
    const subscribed = await ask(raw, 0, "subscribe", "words:1", {});
    assert.deepEqual(Object.keys(subscribed), ["epoch", "offset", "recovered"]);
    assert.deepEqual([subscribed.offset, subscribed.recovered], [0, false]);
    const published = await ask(raw, 1, "publish", "words:1", "say", { a: [1, 2.5, "é"] }, { id: "p1", key: "k" });
    assert.deepEqual(published, { epoch: subscribed.epoch, offset: 1, duplicate: false });
    const again = await ask(raw, 2, "publish", "words:1", "say", { a: 1 }, { id: "p1" });
    assert.deepEqual(again, { epoch: subscribed.epoch, offset: 1, duplicate: true });
    const frame = (raw.events ?? [])[0] ?? (await raw.next());
    const [name, data, about, offset] = JSON.parse(frame.slice(2));
    assert.deepEqual([name, data], ["say", { a: [1, 2.5, "é"] }]);
    assert.deepEqual(Object.keys(about), ["channel", "id", "time", "client", "key"]);
    assert.deepEqual([about.channel, about.id, about.key], ["words:1", "p1", "k"]);
    assert.equal(offset, `${subscribed.epoch}-1@words:1`);
    const history = await ask(raw, 3, "history", "words:1", { limit: 10 });
    assert.deepEqual(history.messages.map((message) => message.data), [{ a: [1, 2.5, "é"] }]);
    assert.deepEqual(await ask(raw, 4, "unsubscribe", "words:1"), {});
    const gone = await ask(raw, 5, "unsubscribe", "words:1");
    assert.equal(gone.error.code, "not_found");
    const recovered = await ask(raw, 6, "subscribe", "words:1", { since: `${subscribed.epoch}-0` });
    assert.deepEqual(recovered, { epoch: subscribed.epoch, offset: 1, recovered: true });
    assert.match(await raw.next(), /^42\["say",\{"a":\[1,2\.5,"é"\]\}/);
    raw.close();
  });

  test("enter, members, leave, and member events", async () => {
    const [raw, other] = [await joined(hub.url), await joined(hub.url)];
    await ask(raw, 0, "subscribe", "here:1", { presence: true });
    assert.match(await raw.next(), /^42\["fanfare.presence",\{"channel":"here:1","action":"present","members":\[\]/);
    assert.deepEqual(await ask(other, 1, "enter", "here:1", { name: "Ada" }), {});
    const entered = JSON.parse((await raw.next()).slice(2));
    assert.deepEqual([entered[0], entered[1].action, entered[1].members[0].data], ["fanfare.presence", "enter", { name: "Ada" }]);
    const members = await ask(raw, 2, "members", "here:1");
    assert.deepEqual([members.count, members.members[0].data], [1, { name: "Ada" }]);
    assert.deepEqual(await ask(other, 3, "leave", "here:1"), {});
    assert.equal(JSON.parse((await raw.next()).slice(2))[1].action, "leave");
    raw.close();
    other.close();
  });

  test("refusals say why and what to do", async () => {
    const raw = await joined(hub.url);
    const code = async (id, ...args) => (await ask(raw, id, ...args)).error?.code;
    assert.deepEqual(Object.keys((await ask(raw, 0, "subscribe", "a b")).error), ["code", "detail", "remedy"]);
    assert.equal(await code(1, "subscribe", "other:1"), "unauthorized");
    assert.equal(await code(2, "publish", "a", "e", "x".repeat(1001)), "too_large");
    assert.equal(await code(3, "publish", "a", "connect", 1), "bad_request");
    assert.equal(await code(4, "publish", "a"), "bad_request");
    assert.equal(await code(5, "subscribe", "a", { since: "nonsense" }), "bad_request");
    assert.equal(await code(6, "nonsense"), "not_found");
    assert.equal(await code(7, "subscribe", "$presence:a"), "bad_request");
    raw.send('42["nonsense"]');
    assert.match(await raw.next(), /^42\["fanfare.error",\{"code":"not_found"/);
    raw.close();
  });

  test("a namespace's channels are its own", async () => {
    const raw = await joined(hub.url, "/chat");
    raw.send('42/chat,1["subscribe","room"]');
    assert.match(await raw.next(), /^43\/chat,1\[\{"epoch"/);
    await publish(hub.url, "chat:room", "say", "hi");
    assert.match(await raw.next(), /^42\/chat,\["say","hi",\{"channel":"chat:room"/);
    raw.close();
  });

  test("an ephemeral event that ends with a string never looks like a position", async () => {
    const raw = await joined(hub.url);
    raw.send('420["subscribe",{"channel":"eph"}]');
    raw.send('421["publish","eph","typing","ada",{"ephemeral":true}]');
    const frames = [await raw.next(), await raw.next(), await raw.next()];
    assert.ok(frames.includes('42["typing","eph","ada",null]'), JSON.stringify(frames));
    raw.close();
  });
});
