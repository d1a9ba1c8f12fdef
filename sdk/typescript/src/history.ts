import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import type { Frame } from './link.ts';
import { toMessage } from './message.ts';
import { position } from './position.ts';
import type { Gap, Message, Position } from './types.ts';

export interface Page {
  _messages: Message[];
  _epoch: string;
  /** The head. */
  _offset: number;
  _more: boolean;
  _gap: Gap | undefined;
}

export interface PageRequest {
  since?: Position;
  before?: Position;
  limit: number;
  reverse?: boolean;
}

/** One page of the past; asked again while connections come and go. */
export async function readPage(
  core: Core,
  channel: string,
  { since, before, limit, reverse }: PageRequest,
  signal?: AbortSignal,
): Promise<Page> {
  const frame: Frame = {
    type: 'history',
    channel,
    limit,
    ...(reverse && { reverse }),
    ...(since && { since }),
    ...(before && { before }),
  };
  for (;;) {
    if (signal?.aborted) throw new FanfareError('aborted');
    await core.connection.use();
    try {
      const { messages, epoch, offset, more, gap } = await core.connection.ask(frame);
      const first: Frame | undefined = messages[0];
      return {
        _messages: messages.map((message: Frame) => toMessage(message, epoch, true)),
        _epoch: epoch,
        _offset: offset,
        _more: more,
        _gap: gap
          ? { channel, reason: 'expired', position: position(epoch, (first?.offset ?? offset + 1) - 1) }
          : undefined,
      };
    } catch (error) {
      if ((error as FanfareError).code !== 'network') throw error;
      // Closed on purpose: what was asked before does not open it again.
      if (core.connection.status.value.state === 'idle') throw new FanfareError('closed', undefined, { channel });
    }
  }
}
