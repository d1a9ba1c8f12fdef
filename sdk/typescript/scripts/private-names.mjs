// Short names for private members (those with a leading underscore). Members of different things share a name, which packs better than
// a name for each; members that meet in one thing never do: what an interface, a type, an object or a pattern names within one pair
// of braces has names of its own. TypeScript sees to it that each object's members are so named somewhere.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const LETTERS = [...'etrnoaislcufdhpmgvwbykxSTEAMPCLOIDRFNUBGHVWXYZKQJjqz'];

/** `{ _name: 'x' }` for every private name in the folder's TypeScript. */
export function privateNames(folder) {
  const uses = new Map();
  const rivals = new Map();
  for (const file of readdirSync(folder, { recursive: true })) {
    if (!/\.tsx?$/.test(file)) continue;
    const source = readFileSync(path.join(folder, file), 'utf8');
    if (!/(?<![\w$])_[a-z]/.test(source)) continue;
    for (const group of groupsOf(source, uses))
      for (const name of group) rivals.set(name, new Set([...(rivals.get(name) ?? []), ...group]));
  }
  const short = {};
  for (const [name] of [...uses].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))) {
    const taken = new Set([...(rivals.get(name) ?? [])].map(rival => short[rival]));
    short[name] = LETTERS.find(letter => !taken.has(letter));
    if (!short[name]) throw new Error(`no letter is left for ${name}`);
  }
  return short;
}

/** The private names that stand directly within each pair of braces, other than as `it._name`; counts all of them. */
function groupsOf(source, uses) {
  const groups = [];
  const open = [new Set()];
  // Comments and texts say nothing; braces within templates pair up by themselves.
  const code = source.replace(
    /\/\*[\s\S]*?\*\/|\/\/.*|'(?:[^'\\\n]|\\.)*'|\/(?![*/\s])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g,
    text => (/^['/]_/.test(text) ? text : ' '),
  );
  for (const [token, dot, name] of code.matchAll(/[{}]|(\.\s*)?(?<![\w$])(_[a-z]\w*)/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') groups.push(open.pop());
    else {
      uses.set(name, (uses.get(name) ?? 0) + 1);
      if (!dot) open.at(-1).add(name);
    }
  }
  if (open.length !== 1) throw new Error('braces do not pair up');
  return groups;
}
