import { createContext, createElement, type ReactNode, useContext } from 'react';
import type { AnyClient, Channel, ChannelOptions, Client, Schema, TypesOf, Untyped } from '../types.ts';

/**
 * Tells the hooks the type of your client, so that channels given by name are typed:
 *
 *     declare module 'fanfare-client/react' { interface Register { client: typeof client } }
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled in by applications
export interface Register {}

type Registered = Register extends { client: infer C } ? C : AnyClient;
type RegisteredSchema = Registered extends Client<infer S> ? S : Schema;

/** The types of the registered client's channel `N`. */
export type RegisteredTypes<N extends string> = 0 extends 1 & RegisteredSchema ? Untyped : TypesOf<RegisteredSchema, N>;

const Context = createContext<AnyClient | undefined>(undefined);

/** Gives the hooks below it their client. It neither connects nor closes it. */
export function FanfareProvider({ client, children }: { client: AnyClient; children?: ReactNode }) {
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the nearest provider. */
export function useClient(): Registered {
  const client = useContext(Context);
  if (!client) throw new Error('no <FanfareProvider client={...}> above this component');
  return client as Registered;
}

/**
 * The channel of that name, the same object each time. It opens nothing: reading it does. Options are one set per channel, as with
 * `client.channel`.
 */
export function useChannel<N extends string>(name: N, options?: ChannelOptions): Channel<RegisteredTypes<N>> {
  return (useClient() as AnyClient).channel(name, options) as unknown as Channel<RegisteredTypes<N>>;
}
