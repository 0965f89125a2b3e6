"""The TypeScript SDK against real servers: in Node and in Chromium, over each transport."""
