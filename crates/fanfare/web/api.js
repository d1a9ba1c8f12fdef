// Where the API is, and who we are to it.

const SESSION_KEY = 'fanfare.session';
const SESSION_FORM = /^[A-Za-z0-9_-]{22,64}$/;

/** The URL of `v1/...`, relative to the page, so that the hub may be mounted under any prefix. */
export function apiUrl(path, parameters = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = '';
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, value);
  }
  // A colon is legal in a query and far easier to read in the network panel.
  url.search = url.search.replaceAll('%3A', ':');
  return url;
}

/** The same with ws: or wss:. */
export function socketUrl(path, parameters) {
  const url = apiUrl(path, parameters);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}

/** `length` random characters of base64url, from the system's generator. */
export function randomId(length = 22) {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return Array.from(bytes, (byte) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[byte & 63]).join('');
}

/** Reads this tab's storage; null when absent or forbidden (private windows, sandboxed frames). */
export function recall(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Writes this tab's storage, or removes with null; silently does nothing where storage is forbidden. */
export function remember(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    // The page then works until it is closed.
  }
}

/** This tab's secret session id: the same after a reload, so that a reload is the same member of the room. */
export function tabSession() {
  const known = recall(SESSION_KEY);
  if (known !== null && SESSION_FORM.test(known)) return known;
  const session = randomId(32);
  remember(SESSION_KEY, session);
  return session;
}

/** `"<epoch>-<offset>"`, as the API writes a position. */
export function position(epoch, offset) {
  return `${epoch}-${offset}`;
}

/** The epoch of a position (a cursor of one channel is a position). */
export function epochOf(cursor) {
  return cursor.slice(0, cursor.lastIndexOf('-'));
}
