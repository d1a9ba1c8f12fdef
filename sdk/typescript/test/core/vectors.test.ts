import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeCursor } from '../../src/http.ts';
import { CODES } from '../../src/index.ts';
import { toMessage, toWire } from '../../src/message.ts';
import { parseCursor, parsePosition } from '../../src/position.ts';
import { publicClient } from '../../src/public-client.ts';
import { ANSWERS } from '../../src/testing/codes.gen.ts';
import { clientOf } from '../../src/testing/wire.ts';

// biome-ignore lint/suspicious/noExplicitAny: vectors are read field by field
const vectors = (name: string): any =>
  JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../../../docs/vectors', name), 'utf8'));

describe('the golden vectors', () => {
  it('codes.json is our table', () => {
    const { codes } = vectors('codes.json');
    expect(codes.length).toBeGreaterThan(10);

    expect(CODES).toEqual(
      Object.fromEntries(
        codes.map((row: { code: string; status: number; close: number; retryable: boolean; remedy: string }) => [
          row.code,
          [row.status ?? 0, row.close, row.retryable ? 1 : 0],
        ]),
      ),
    );
    expect(Object.entries(ANSWERS)).toEqual(
      codes.map((row: { code: string; status: number; close: number; retryable: boolean; remedy: string }) => [
        row.code,
        [row.status ?? 0, row.close, row.retryable, row.remedy],
      ]),
    );
  });

  it.each(vectors('clients.json').sessions as { session: string; client: string }[])(
    'the session $session is known as $client',
    async ({ session, client }) => {
      expect(await publicClient(session)).toBe(client);
      expect(clientOf(session)).toBe(client);
    },
  );

  const positions = vectors('positions.json');
  it.each(positions.positions_valid as { text: string; epoch: string; offset: number }[])(
    'the position $text is read',
    ({ text, epoch, offset }) => {
      expect(parsePosition(text)).toEqual({ epoch, offset });
    },
  );
  it.each(positions.positions_invalid as string[])('%j is no position', text => {
    expect(parsePosition(text)).toBeUndefined();
  });
  it.each(positions.cursors_valid as { text: string; channels: number; positions: (string | null)[] }[])(
    'the cursor $text is read and written',
    ({ text, channels, positions: expected }) => {
      const read = parseCursor(text, channels);
      expect(read?.map(item => item ?? null)).toEqual(expected);
      expect(makeCursor(read!)).toBe(text);
    },
  );
  it.each(positions.cursors_invalid as { text: string; channels: number }[])(
    'the cursor $text is none of $channels channels',
    ({ text, channels }) => {
      expect(parseCursor(text, channels)).toBeUndefined();
    },
  );

  const messages: { name: string; json: string }[] = vectors('events.json').cases.filter(({ json }: { json: string }) =>
    json.includes('"type":"message"'),
  );
  it('has messages among its events', () => expect(messages.length).toBeGreaterThan(3));
  it.each(messages)('$name becomes a message', ({ json }) => {
    const { type: _type, encoding, ...frame } = JSON.parse(json);
    const message = toMessage(JSON.parse(json), 'e', false);
    const data = encoding === 'base64' ? new Uint8Array(Buffer.from(frame.data, 'base64')) : frame.data;
    expect(message).toMatchObject({ ...frame, data });
    expect(message.position).toBe(frame.offset === undefined ? undefined : `e-${frame.offset}`);
    expect(toWire(message.data)).toEqual({ data: frame.data, ...(encoding && { encoding }) });
  });
});
