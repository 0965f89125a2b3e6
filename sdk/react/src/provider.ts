/** The client that hooks use. */

import type { ConnectionStatus, Realtime } from "@bunbase/sdk";
import { statusStore } from "@bunbase/sdk/adapters";
import { createContext, createElement, useContext, useEffect, type ReactNode } from "react";
import { useStore } from "./store.js";

const Client = createContext<Realtime | undefined>(undefined);

/** Properties of {@link RealtimeProvider}. */
export interface RealtimeProviderProps {
  /** The client. Made with `autoConnect: false`, it connects when this is mounted, so not on a server that renders. */
  client: Realtime;
  children?: ReactNode;
}

/** Gives the components in it a client, and connects that when it is mounted. The client is yours: it stays connected. */
export function RealtimeProvider({ client, children }: RealtimeProviderProps): ReactNode {
  useEffect(() => client.connect(), [client]);
  return createElement(Client.Provider, { value: client }, children);
}

/** The client of the {@link RealtimeProvider}. Throws without one. */
export function useRealtime(): Realtime {
  const client = useContext(Client);
  if (!client) throw new Error("hooks of @bunbase/react need a <RealtimeProvider client={…}> around the component");
  return client;
}

/** Whether there is a connection, and if not, why; see `ConnectionStatus` of the SDK. */
export function useConnectionState(): ConnectionStatus {
  const client = useRealtime();
  return useStore(client, statusStore(client));
}
