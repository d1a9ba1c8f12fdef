// The list of demos. Its only live part: how many are looking at it.
import { $, connect, count, put } from '../shared/kit.ts';

const here = connect().channel('demo:visitors', { presence: true }).presence;
here.subscribe(({ count: visitors }) => {
  put($('here'), visitors > 0 ? count(visitors) : '–');
  put($('visitors'), visitors === 1 ? 'visitor' : 'visitors');
});
here.enter().catch(() => undefined); // Not being counted is no harm.
