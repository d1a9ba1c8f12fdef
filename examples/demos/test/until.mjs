/** Waits until `look` gives something true, and gives that; an error names `what`. */
export async function until(what, look, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    last = await look().catch(error => error);
    if (last && !(last instanceof Error)) return last;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`${what}: not within ${seconds} s${last instanceof Error ? ` (${last.message})` : ''}`);
}
