// Bun's own publish-subscribe: /?channel=NAME reads, /publish sends "NAME PAYLOAD".
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const channel = new URL(request.url).searchParams.get("channel");
    return server.upgrade(request, { data: { channel } }) ? undefined : new Response("no WebSocket", { status: 400 });
  },
  websocket: {
    // As Fanfare's: no compression, and nobody is dropped for a backlog.
    perMessageDeflate: false,
    backpressureLimit: 64 * 1024 * 1024,
    open(ws) {
      if (ws.data.channel) ws.subscribe(ws.data.channel);
    },
    message(_, message) {
      server.publish(message.slice(0, message.indexOf(" ")), message);
    },
  },
});
console.log(`listening on http://127.0.0.1:${server.port}`);
