import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import { schemaOf } from './patterns.ts';
import type { ChannelSchema, Message } from './types.ts';
import { type Checked, check, checkInput, tellInvalid } from './validate.ts';

// This is loaded when a client that was given a schema is first used. It imports nothing of the core, so that the core stays in one piece.

/** What the client's schema says of a channel. */
export const rulesOf = (core: Core, channel: ClientChannel): ChannelSchema =>
  (channel._rules ??= schemaOf(core._options.schema, channel.name) ?? {});

/** Rejects what may not be published. */
export async function checkPublish(
  core: Core,
  channel: ClientChannel,
  event: string,
  data: unknown,
  key: unknown,
): Promise<void> {
  // Removing a key carries no data that would have to be right.
  if (key == null || data !== null) await checkInput(core, rulesOf(core, channel).message?.[event], data, channel.name);
}

/** The message by its schema; `undefined`: it does not fit, which was told. */
export function validate(
  core: Core,
  channel: ClientChannel,
  message: Message,
): Message | undefined | Promise<Message | undefined> {
  const { event, data, position, key } = message;
  const fits = rulesOf(core, channel).message?.[event];
  if (!fits) return message;
  const use = ({ value, issues }: Checked): Message | undefined => {
    if (!issues) {
      const valid = { ...message, data: value };
      core._originals.set(valid, message);
      return valid;
    }
    // A removal is told to those who follow every event, whose data is `unknown`; the entries have it anyway.
    if (data !== null || key == null) tellInvalid(core, { channel: channel.name, event, data, issues, position });
    return undefined;
  };
  const checked = check(fits, data);
  return checked instanceof Promise ? checked.then(use) : use(checked);
}
