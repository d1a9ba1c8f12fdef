import { Connection } from './connection.ts';
import { type Asked, json, problem, reads, unreachable } from './request.ts';
import { checkName, type ReadOptions, type WireMessage } from './wire.ts';
import type { Who, World } from './world.ts';

/** Messages in one answer. */
const MOST = 1000;
/** The longest wait, s. */
const LONGEST = 60;

interface Answer {
  messages: WireMessage[];
  cursor: string;
  gap: { channel: string; epoch: string; offset: number; reason: string }[];
  poll_after_ms: number;
}

/** `/v1/poll`: what there is, or with `wait` what comes. */
export async function poll(world: World, asked: Asked, who: Who, session: string): Promise<Response> {
  const cursor = asked.query.get('since') ?? undefined;
  const wanted = reads(asked.query, cursor);
  for (const { channel } of wanted) {
    checkName(channel);
    world.record(asked.via, who.client, { type: 'poll', channel, since: cursor });
  }
  const fault = world.fault('poll');
  if (fault?.refusal) throw fault.refusal;
  if (fault?.what === 'lose') throw unreachable();
  for (const { channel } of wanted) world.demand(who, 'subscribe', channel);
  if (fault || world.muted.has(asked.via)) return await new Promise<never>(() => {});

  const read = () => answerTo(world, who, wanted);
  const now = read();
  const wait = Math.min(Number(asked.query.get('wait') ?? 0), LONGEST) * 1000;
  const known = asked.headers.get('if-none-match')?.replace(/^W\//, '').replaceAll('"', '');
  const respond = (answer: Answer): Response => {
    const headers = { etag: `W/"${answer.cursor}"`, 'cache-control': 'private, no-store' };
    if (known === answer.cursor && !answer.messages.length && !answer.gap.length)
      return new Response(null, { status: 304, headers });
    return json(answer, headers);
  };
  // A visit holds what the session entered over HTTP.
  if (!wait || cursor === undefined || now.messages.length || now.gap.length) {
    const visit = new Connection(world, 'poll', session, { frame() {}, end() {}, broken() {} }, world.pipe());
    visit.forget();
    visit.down.close();
    return respond(now);
  }
  return await park(world, asked, who, session, wanted, wait, () => respond(read()));
}

function park(
  world: World,
  asked: Asked,
  who: Who,
  session: string,
  wanted: ReturnType<typeof reads>,
  wait: number,
  respond: () => Response,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    let timer: unknown;
    const finish = (settle: () => void) => {
      if (timer === undefined) return;
      world.clock.clearTimeout(timer);
      timer = undefined;
      connection.forget();
      connection.down.close();
      settle();
    };
    const connection = new Connection(
      world,
      'longpoll',
      session,
      {
        // What came by the same time goes along: the answer is read anew.
        frame: ({ type }) => {
          if (type === 'message') finish(() => resolve(respond()));
        },
        end: refusal => finish(() => resolve(problem(refusal))),
        broken: () => finish(() => reject(unreachable())),
      },
      world.pipe(),
    );
    timer = world.clock.setTimeout(() => finish(() => resolve(respond())), wait);
    asked.signal?.addEventListener('abort', () => finish(() => reject(asked.signal!.reason)), { once: true });
    connection.become(who, who.token);
    for (const { channel, options } of wanted)
      connection.subscribe(channel, { since: options.since, echo: options.echo });
  });
}

function answerTo(world: World, who: Who, wanted: { channel: string; options: ReadOptions }[]): Answer {
  const answer: Answer = { messages: [], cursor: '', gap: [], poll_after_ms: world.pollAfter };
  const cursor: string[] = [];
  for (const { channel, options } of wanted) {
    const log = world.log(channel);
    log.expire(world.clock.now());
    const { messages, gap } = log.begin(options);
    if (gap) answer.gap.push({ channel, epoch: log.epoch, ...gap });
    const wished = messages.filter(message => options.echo !== false || message.client !== who.client);
    const taken = wished.slice(0, MOST - answer.messages.length);
    const more = taken.length < wished.length;
    if (more) answer.poll_after_ms = 0;
    answer.messages.push(...taken);
    const start = taken[0] ?? wished[0];
    cursor.push(more ? `${log.epoch}-${taken.at(-1)?.offset ?? start!.offset! - 1}` : log.position);
  }
  answer.cursor = cursor.join('~');
  return answer;
}
