/**
 * The documented examples, as they are written there. Each one is run in Node and in Chromium; what it logs is what `console` keeps.
 */

import { configure, db, realtime as server, Realtime, type Channel } from "@bunbase/sdk";

export { configure, Realtime, server };

/** What the examples log. */
export const logged: unknown[][] = [];
const console = {
  log: (...what: unknown[]) => void logged.push(what),
  error: (...what: unknown[]) => void logged.push(what),
};

const currentUser = { id: "user-456" };

export async function connectionManagement(): Promise<Realtime> {
  const realtime = new Realtime({
    apiKey: "your-api-key",
    autoConnect: true,
    reconnect: true,
    reconnectDelay: 1000, // ms
    maxReconnectAttempts: 10,
  });

  // Connection events
  realtime.on("connected", () => console.log("Connected"));
  realtime.on("disconnected", () => console.log("Disconnected"));
  realtime.on("error", (error) => console.error(error));

  await new Promise<void>((resolve) => realtime.on("connected", resolve));

  // Manual connection control
  realtime.connect();
  realtime.disconnect();
  return realtime;
}

export async function channelSubscription(realtime: Realtime, received: () => Promise<void>): Promise<void> {
  const channel = realtime.channel("chat:room-123", {
    presence: true,
  });

  await channel.subscribe();

  // Listen to messages
  channel.on("new-message", (message) => {
    console.log("New message:", message);
  });

  // Send messages
  await channel.send("new-message", {
    text: "Hello!",
    userId: currentUser.id,
  });

  await received();

  // Unsubscribe
  await channel.unsubscribe();
}

export async function presence(realtime: Realtime): Promise<Channel> {
  const presenceChannel = realtime.channel("presence:room-123");

  await presenceChannel.subscribe();

  // Update presence
  await presenceChannel.updatePresence({
    status: "online",
    name: "John",
    avatar: "https://...",
  });

  // Listen to presence events
  presenceChannel.on("presence:join", (user) => {
    console.log("User joined:", user);
  });

  presenceChannel.on("presence:leave", (user) => {
    console.log("User left:", user);
  });

  presenceChannel.on("presence:update", (user) => {
    console.log("User updated:", user);
  });

  // Get current presence
  const presence = await presenceChannel.getPresence();
  console.log("Online users:", presence.users);
  console.log("User count:", presence.count);
  return presenceChannel;
}

export async function liveQueries(received: () => Promise<void>): Promise<void> {
  // Subscribe to live query
  const subscription = db
    .collection("messages")
    .where("roomId", "==", "room-123")
    .orderBy("createdAt", "desc")
    .limit(50)
    .onSnapshot((snapshot) => {
      snapshot.changes.forEach((change) => {
        if (change.type === "added") {
          console.log("New message:", change.doc.data());
        }
        if (change.type === "modified") {
          console.log("Modified message:", change.doc.data());
        }
        if (change.type === "removed") {
          console.log("Removed message:", change.doc.data());
        }
      });
    });

  await received();

  // Unsubscribe
  subscription.unsubscribe();
}

export async function liveQueriesOfAClient(realtime: Realtime): Promise<void> {
  await new Promise<void>((resolve) => {
    const subscription = realtime
      .database()
      .collection("messages")
      .where("roomId", "==", "room-123")
      .orderBy("createdAt", "desc")
      .onSnapshot((snapshot) => {
        // Handle changes
        console.log(snapshot.docs.length, snapshot.position);
        resolve();
      });
    void subscription;
  });
}

export async function broadcasting(): Promise<void> {
  const realtime = server;

  async function onNewOrder(event: any) {
    const order = event.data;

    // Broadcast to admin dashboard
    await realtime.channel("admin:orders").broadcast("new-order", {
      orderId: order.id,
      amount: order.amount,
      timestamp: new Date(),
    });

    // Notify specific user
    await realtime.channel(`private:user-${order.userId}`).broadcast("order-update", {
      status: "confirmed",
      orderId: order.id,
    });
  }

  await onNewOrder({ data: { id: 7, amount: 99.5, userId: "user-123" } });
}

export async function presenceManagement(): Promise<void> {
  const realtime = server;

  // Get channel presence
  const presence = await realtime.channel("chat:room-123").getPresence();

  // Kick user from channel
  await realtime.channel("chat:room-123").kick("user-id");

  // Get connection info
  const connections = await realtime.getConnections({
    userId: "user-123",
  });

  // Disconnect user
  await realtime.disconnectUser("user-123");

  console.log(
    presence.users.map(({ id }) => id),
    connections.map(({ userId }) => userId),
  );
}
