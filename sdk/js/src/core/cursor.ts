/** A document as a place in a query's order. */

import { ErrorCode } from "../protocol/codes.js";
import { RealtimeError } from "../protocol/errors.js";
import { Doc } from "./snapshot.js";

/** The cursor in the protocol's form: values of the sort keys as they are, or those of a document with its id. @internal */
export function cursor(at: unknown[], orderBy: readonly unknown[] = []): object {
  const [doc] = at;
  if (!(doc instanceof Doc)) return at;
  const { id } = doc;
  const values = (orderBy as [string][]).map(([field]) => {
    const data = doc.data() as Record<string, unknown>;
    if (Object.hasOwn(data, field)) return data[field];
    throw new RealtimeError(ErrorCode.InvalidMessage, `no field ${field} in document ${id}: select it`);
  });
  return { doc: id, values };
}
