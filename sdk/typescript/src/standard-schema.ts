/**
 * The Standard Schema interface (standardschema.dev, version 1), as far as this package uses it: what zod, valibot, arktype
 * and others implement. Copied, as its specification asks, so that nothing has to be installed.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a validation gives: a value, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What may be given to a schema. */
export type InferInput<S> = S extends StandardSchemaV1<infer Input, unknown> ? Input : unknown;

/** What a schema gives after validation. */
export type InferOutput<S> = S extends StandardSchemaV1<infer _Input, infer Output> ? Output : unknown;
