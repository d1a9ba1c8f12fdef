// The ws package, with the loop over readers that its README shows: /?channel=NAME reads, /publish sends "NAME PAYLOAD".
const { WebSocketServer, WebSocket } = require("ws");
const channels = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("connection", (socket, request) => {
  const channel = new URL(request.url, "http://localhost").searchParams.get("channel");
  if (channel) {
    const readers = channels.get(channel) ?? new Set();
    channels.set(channel, readers.add(socket));
    socket.on("close", () => readers.delete(socket));
    return;
  }
  socket.on("message", (message) => {
    const text = message.toString();
    for (const reader of channels.get(text.slice(0, text.indexOf(" "))) ?? []) {
      if (reader.readyState === WebSocket.OPEN) reader.send(text);
    }
  });
});
server.on("listening", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
