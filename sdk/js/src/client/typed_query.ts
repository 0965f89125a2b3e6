/**
 * What a query may be made of, by the type of its documents: fields, operators, values. Types alone, without a byte at run time.
 *
 * For documents without a type (`any`, `unknown`) everything is open. Which operators a column has is PostgreSQL's to decide; here is
 * what the JSON of its values shows: `like` needs strings, `array-contains` an array or an object, a comparison a value of the field's
 * own type. Comparing with null is never true, and refused by the server.
 */

import type { Untyped } from "../protocol/types.js";

/** Comparison operators, with the meaning they have in SQL. */
export type Operator =
  | "==" | "!=" | "<" | "<=" | ">" | ">=" // prettier-ignore
  | "in" | "not-in" | "array-contains" | "array-contains-any" | "like" | "ilike" | "is-null" | "is-not-null"; // prettier-ignore

/** The names of what `T` has; any name if `T` is not known. */
export type NameOf<T> = unknown extends T ? string : keyof T & string;

/** What `T` has under a name. */
export type At<T, Name> = Name extends keyof T ? T[Name] : Untyped;

/**
 * What a field whose documents have `V` may be compared with. Numbers of any size are a `bigint`, or a string with their digits. Anything
 * is open for objects: PostgreSQL compares composites as text, JSON as JSON.
 */
export type Comparable<V> =
  unknown extends V ? Untyped
  : V extends null | undefined ? never
  : V extends number | bigint ? V | Numeral
  : V extends string | boolean | readonly unknown[] ? V
  : unknown; // prettier-ignore

type Numeral = number | bigint | `${number}` | "NaN" | "Infinity" | "-Infinity";

/** The elements of the arrays among `V`; of an object in a JSON column, any value. */
type Element<V> = V extends readonly (infer E)[] ? Comparable<E> : unknown;

/** The operators of a field whose documents have `V`. */
export type OperatorFor<V> = unknown extends V ? Operator : OperatorOf<NonNullable<V>>;

type Always = Exclude<Operator, "like" | "ilike" | "array-contains" | "array-contains-any">;
type OperatorOf<V> =
  | Always
  | (Extract<V, string> extends never ? never : "like" | "ilike")
  | (Extract<V, object> extends never ? never : "array-contains" | "array-contains-any");

/** What follows an operator on a field whose documents have `V`: one value, or none. */
export type Operand<V, O> =
  unknown extends V ? [value?: unknown]
  : O extends "is-null" | "is-not-null" ? []
  : O extends "in" | "not-in" ? [values: readonly Comparable<V>[]]
  : O extends "array-contains" ? [element: Element<Extract<V, object>>]
  : O extends "array-contains-any" ? [elements: readonly Element<Extract<V, object>>[]]
  : O extends "like" | "ilike" ? [pattern: string]
  : [value: Comparable<V>]; // prettier-ignore

/** A condition: on a field, or several of them put together. `T` is the type of the documents. */
export type Condition<T = Untyped> =
  | (unknown extends T ? [field: string, operator: Operator, value?: unknown] : Comparison<T>)
  | { and: Condition<T>[] }
  | { or: Condition<T>[] }
  | { not: Condition<T> };

/** A condition on one field of `T`. */
type Comparison<T> = {
  [F in NameOf<T>]: { [O in OperatorFor<At<T, F>>]: [field: F, operator: O, ...Operand<At<T, F>, O>] }[OperatorFor<
    At<T, F>
  >];
}[NameOf<T>];

/** The documents of `T` with the selected fields `F`; and with `id`, the usual primary key, which is always there. */
export type Selected<T, F> = unknown extends T ? Untyped : Pick<T, Extract<F | "id", keyof T>>;
