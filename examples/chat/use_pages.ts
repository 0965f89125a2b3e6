// A live query of which older and older documents are loaded, as a hook.

import { pages, type Doc, type Pages, type Query } from "@bunbase/sdk";
import { useEffect, useRef, useState } from "react";

interface Loaded<T> {
  docs: readonly Doc<T>[];
  /** There are documents after these. */
  hasMore: boolean;
}

/** Follow `query` page by page while the component is mounted. The query is another one only if it is another object. */
export function usePages<T>(query: Query<T>, size: number, onError: (error: Error) => void) {
  const [loaded, setLoaded] = useState<Loaded<T>>({ docs: [], hasMore: false });
  const followed = useRef<Pages<T>>(undefined);
  useEffect(() => {
    const current = pages(query, size, ({ docs, hasMore }) => setLoaded({ docs, hasMore }), onError);
    followed.current = current;
    return () => current.unsubscribe();
  }, [query, size, onError]);
  return { ...loaded, loadMore: () => followed.current?.loadMore() };
}
