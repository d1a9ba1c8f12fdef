/** One event of a stream (the HTML standard's "event stream interpretation", without `retry:`). */
export interface SseEvent {
  _event: string;
  _data: string;
}

/** Takes text in pieces of any size and gives the events that are complete. Line ends may be LF, CR LF or CR. */
export function sseParser(): (text: string) => SseEvent[] {
  let rest = '';
  let event = '';
  let data: string[] = [];
  return text => {
    const events: SseEvent[] = [];
    // A CR at the very end may be half of a CR LF: it waits.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (name === 'data') data.push(value);
      else if (name === 'event') event = value;
      else if (!line) {
        if (data.length) events.push({ _event: event, _data: data.join('\n') });
        event = '';
        data = [];
      }
    }
    return events;
  };
}
