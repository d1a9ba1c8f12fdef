/** Puts it at the end of the map's order, and forgets what is at its beginning beyond `limit`. */
export function putNewest<K, V>(map: Map<K, V>, key: K, value: V, limit = Infinity): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > limit) map.delete(map.keys().next().value!);
}
