import type { InferInput, InferOutput, StandardSchemaV1 } from './standard-schema.ts';

/** The shapes of one kind of channel. */
export interface ChannelSchema {
  /** By event. */
  readonly message?: Readonly<Record<string, StandardSchemaV1>>;
  /** What members enter with. */
  readonly presence?: StandardSchemaV1;
}

/**
 * Shapes by pattern of channel name. A pattern is a name in which `{id}` stands for some characters without `:`, and a trailing `*`
 * for anything. Where several match, the most specific counts: segment by segment (between `:`), a literal before a
 * literal with holes before `{id}` before `*`.
 */
export type Schema = Readonly<Record<string, ChannelSchema>>;

/** Input (what is published) and output (what is received) of one event or of presence. */
export interface IO {
  readonly in: unknown;
  readonly out: unknown;
}

/** What is known of a channel's data. */
export interface ChannelTypes {
  readonly message: Readonly<Record<string, IO>>;
  readonly presence: IO;
}

/** Nothing is known: every event carries `unknown`. */
export interface Untyped extends ChannelTypes {
  readonly message: {};
  readonly presence: { in: unknown; out: unknown };
}

/** The types of the channel called `N` under the schema `S`. */
export type TypesOf<S extends Schema, N extends string> = string extends N
  ? Untyped
  : [BestPattern<keyof S & string, N>] extends [never]
    ? Untyped
    : Resolved<S[BestPattern<keyof S & string, N>]>;

type Resolved<C extends ChannelSchema> = {
  readonly message: C['message'] extends Record<string, StandardSchemaV1>
    ? {
        readonly [E in keyof C['message'] & string]: {
          in: InferInput<C['message'][E]>;
          out: InferOutput<C['message'][E]>;
        };
      }
    : {};
  readonly presence: C['presence'] extends StandardSchemaV1
    ? { in: InferInput<C['presence']>; out: InferOutput<C['presence']> }
    : { in: unknown; out: unknown };
};

/** What may be published as event `E`: `unknown` where the schema does not say. */
export type EventInput<T extends ChannelTypes, E extends string> = string extends E
  ? unknown
  : E extends keyof T['message']
    ? T['message'][E]['in']
    : unknown;

/** What a handler of event `E` gets: `unknown` where the schema does not say. */
export type EventOutput<T extends ChannelTypes, E extends string> = string extends E
  ? unknown
  : E extends keyof T['message']
    ? T['message'][E]['out']
    : unknown;

/** The events that the schema names; any other string is allowed beside them. */
export type EventName<T extends ChannelTypes> = (keyof T['message'] & string) | (string & {});

/** The most specific of the patterns `P` that match `N`; `never` when none does. */
export type BestPattern<P extends string, N extends string> = Best<Matching<P, N>>;

type Matching<P extends string, N extends string> = P extends string ? (Matches<P, N> extends true ? P : never) : never;

type Best<M extends string, All extends string = M> = M extends string
  ? false extends Beats<M, Exclude<All, M>>
    ? never
    : M
  : never;

// Distributes over the others: `true` when `M` is more specific than each of them; `never` (none left) is no `false`.
type Beats<M extends string, Others extends string> = Others extends string ? Before<M, Others> : never;

/** Whether the name `N` fits the pattern `P`, segment by segment. */
type Matches<P extends string, N extends string> = P extends '*'
  ? true
  : P extends `${infer PH}:${infer PT}`
    ? N extends `${infer NH}:${infer NT}`
      ? NH extends Template<PH>
        ? Matches<PT, NT>
        : false
      : false
    : P extends `${infer Prefix}*`
      ? N extends `${Template<Prefix>}${string}`
        ? true
        : false
      : N extends `${string}:${string}`
        ? false
        : N extends Template<P>
          ? true
          : false;

/** `a{x}b` as the template `a${string}b`. */
type Template<P extends string> = P extends `${infer A}{${string}}${infer B}` ? `${A}${string}${Template<B>}` : P;

/** How specific one segment is: smaller comes first. */
type Rank<Segment extends string> = Segment extends `${string}*`
  ? 3
  : Segment extends `{${infer Hole}}`
    ? Hole extends `${string}}${string}`
      ? 1
      : 2
    : Segment extends `${string}{${string}}${string}`
      ? 1
      : 0;

type Less<A extends number, B extends number> = A extends B
  ? 'same'
  : [A, B] extends [0, number] | [1, 2 | 3] | [2, 3]
    ? true
    : false;

type Before<P extends string, Q extends string> = P extends `${infer PH}:${infer PT}`
  ? Q extends `${infer QH}:${infer QT}`
    ? Less<Rank<PH>, Rank<QH>> extends 'same'
      ? Before<PT, QT>
      : Less<Rank<PH>, Rank<QH>>
    : Less<Rank<PH>, Rank<Q>> extends 'same'
      ? true
      : Less<Rank<PH>, Rank<Q>>
  : Q extends `${infer QH}:${string}`
    ? Less<Rank<P>, Rank<QH>> extends 'same'
      ? false
      : Less<Rank<P>, Rank<QH>>
    : Less<Rank<P>, Rank<Q>> extends 'same'
      ? Longer<P, Q>
      : Less<Rank<P>, Rank<Q>>;

// Of two prefixes with `*`, the longer; anything else that ranks alike is not compared, and both types stay possible.
type Longer<P extends string, Q extends string> = P extends `${infer A}*`
  ? Q extends `${infer B}*`
    ? A extends `${B}${string}`
      ? true
      : false
    : true
  : true;
