// The types of the API, as pages call them. `schema.ts` is made of the OpenAPI document: `make types`.

import type { Event } from "./schema";

export type * from "./schema";

/** A part of a list. */
export interface Page<T> {
  items: T[];
  /** Where the next part begins; none on the last. */
  next?: number | null;
}

export type FarmEvent = Event;
