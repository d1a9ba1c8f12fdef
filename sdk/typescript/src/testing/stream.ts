import { Connection, type Sink } from './connection.ts';
import { type Asked, reads, unreachable } from './request.ts';
import { Refusal, readPosition, type WireFrame } from './wire.ts';
import type { Who, World } from './world.ts';

/** Between two signs of life on a quiet stream, ms. */
const KEEP_ALIVE = 15_000;

/** `/v1/sse` and `/v1/stream`: a response whose body goes on. */
export function stream(world: World, asked: Asked, who: Who, session: string): Response {
  const sse = asked.path === '/sse';
  const wanted = reads(asked.query, resume(asked));
  for (const { channel } of wanted) world.record('sse', who.client, { type: 'subscribe', channel, path: asked.path });
  const fault = world.fault('subscribe');
  if (fault?.refusal) throw fault.refusal;
  for (const { channel } of wanted) world.demand(who, 'subscribe', channel);

  const encoder = new TextEncoder();
  const down = world.pipe();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let over = false;
  let beat: unknown;
  const write = (text: string) => {
    if (!over) controller.enqueue(encoder.encode(text));
  };
  const stop = (finish?: () => void) => {
    if (over) return;
    over = true;
    world.clock.clearTimeout(beat);
    down.close();
    finish?.();
  };
  const form = sse
    ? event(wanted.length, asked.query.get('envelope') === '1' || asked.query.get('envelope') === 'true')
    : line;
  const sink: Sink = {
    frame: (frame, cursor) => write(form(frame, cursor)),
    end: refusal =>
      stop(() => {
        controller.enqueue(encoder.encode(form({ type: 'disconnect', ...refusal.body() }, '')));
        controller.close();
      }),
    broken: () => stop(() => controller.error(unreachable())),
  };
  const connection = new Connection(world, 'sse', session, sink, down);
  const leave = () => {
    connection.forget();
    stop();
  };
  const body = new ReadableStream<Uint8Array>({
    start: made => {
      controller = made;
    },
    cancel: leave,
  });
  asked.signal?.addEventListener(
    'abort',
    () => {
      connection.forget();
      stop(() => controller.error(asked.signal!.reason));
    },
    { once: true },
  );
  const alive = () => {
    beat = world.clock.setTimeout(() => {
      down.push(() => write(sse ? ': \n\n' : '\n'));
      alive();
    }, KEEP_ALIVE);
  };
  alive();
  connection.become(who, who.token);
  if (!world.muted.has('sse')) {
    down.push(() => write(sse ? ': fanfare\n\n' : ''));
    try {
      const begin = wanted.map(({ channel, options }) => connection.prepare(channel, options));
      for (const start of begin) start();
    } catch (error) {
      leave();
      throw error;
    }
  } else world.clock.clearTimeout(beat);
  const type = sse ? 'text/event-stream' : 'application/x-ndjson';
  return new Response(body, { headers: { 'content-type': type, 'cache-control': 'no-cache' } });
}

// An unusable Last-Event-ID counts as a position in an epoch that never was.
function resume({ headers, query }: Asked): string | undefined {
  const id = headers.get('last-event-id');
  if (id === null) return query.get('since') ?? undefined;
  const channels = query.getAll('channel').length;
  const parts = id.split('~');
  try {
    if (parts.length !== channels) throw new Refusal('bad_request', 'another number of channels');
    for (const part of parts) if (part) readPosition(part);
    return id;
  } catch {
    return Array(channels).fill('0-0').join('~');
  }
}

const line = (frame: WireFrame): string => `${JSON.stringify(frame)}\n`;

// The last `subscribed` carries the cursor as it was asked for, every gap its own.
function event(channels: number, envelope: boolean): (frame: WireFrame, cursor: string) => string {
  let subscribed = 0;
  return (frame, cursor) => {
    if (frame.type !== 'message') {
      const last = frame.type === 'subscribed' && ++subscribed === channels;
      const id = last || frame.type === 'gap' ? `id: ${cursor}\n` : '';
      return `${id}event: fanfare.${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`;
    }
    const { type: _, ...message } = frame;
    const id = message.offset === undefined ? '' : `id: ${cursor}\n`;
    if (envelope) return `${id}data: ${JSON.stringify(message)}\n\n`;
    return `${id}event: ${message.event}\ndata: ${JSON.stringify(message.data)}\n\n`;
  };
}
