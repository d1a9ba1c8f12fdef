// The words of public trade feeds: Binance, Coinbase, Kraken, and whatever else says price, size and side under the usual names.
import { fields, text } from '../shared/kit.ts';

export interface Trade {
  /** How many there were. */
  n: number;
  price: number;
  amount: number;
  side: string;
}

const amountOf = (value: unknown): number => {
  const made = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN;
  return Number.isFinite(made) ? made : Number.NaN;
};

/** One trade of a feed, with the feed's own id; undefined for anything else. */
export function readTrade(message: unknown): (Omit<Trade, 'n'> & { id: string }) | undefined {
  if (typeof message !== 'string') return undefined;
  let said: unknown;
  try {
    said = JSON.parse(message);
  } catch {
    return undefined;
  }
  const data = fields(said);
  const price = amountOf(data.p ?? data.price);
  const amount = amountOf(data.q ?? data.size ?? data.qty ?? data.amount);
  const id = data.t ?? data.trade_id ?? data.id;
  if (Number.isNaN(price) || Number.isNaN(amount) || id === undefined) return undefined;
  // Binance: `m` is true when the buyer was waiting, so that the seller took the price.
  const side = typeof data.m === 'boolean' ? (data.m ? 'sell' : 'buy') : text(data.side) === 'sell' ? 'sell' : 'buy';
  return { price, amount, side, id: String(id).slice(0, 64) };
}
