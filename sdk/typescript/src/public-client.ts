/** The public name of a session, as the hub computes it; `undefined` where this place has no SHA-256 (a page over plain http). */
export async function publicClient(session: string): Promise<string | undefined> {
  const { subtle } = (globalThis as { crypto?: Crypto }).crypto ?? {};
  const digest = await subtle?.digest('SHA-256', new TextEncoder().encode(session));
  return (
    digest &&
    btoa(String.fromCharCode(...new Uint8Array(digest)))
      .slice(0, 16)
      .replace(/\+/g, '-')
      .replace(/\//g, '_')
  );
}
