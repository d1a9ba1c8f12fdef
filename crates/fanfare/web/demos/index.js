// examples/demos/index/index.ts
import { $, connect, count, put } from "./kit.js";
var here = connect().channel("demo:visitors", { presence: true }).presence;
here.subscribe(({ count: visitors }) => {
  put($("here"), visitors > 0 ? count(visitors) : "\u2013");
  put($("visitors"), visitors === 1 ? "visitor" : "visitors");
});
here.enter().catch(() => void 0);
