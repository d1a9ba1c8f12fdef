/** One event of a stream (the HTML standard's "event stream interpretation", without `retry:`). */
export interface SseEvent {
  event: string;
  data: string;
}

/** Takes text in pieces of any size and gives the events that are complete. Line ends may be LF, CR LF or CR. */
export function sseParser(): (text: string) => SseEvent[] {
  let rest = '';
  let event = '';
  let data: string[] = [];
  return text => {
    const events: SseEvent[] = [];
    rest += text;
    // A CR at the very end may be half of a CR LF: it waits.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line) {
        if (data.length) events.push({ event, data: data.join('\n') });
        event = '';
        data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'data') data.push(value);
      else if (name === 'event') event = value;
    }
    return events;
  };
}
