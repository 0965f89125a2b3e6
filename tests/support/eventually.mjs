// Waiting for what is not announced, in Node and in the browser.

/** Try again until the assertion holds, less often the longer it takes; fail with what it reported last. */
export async function eventually(assertion, within = 60_000) {
  const deadline = Date.now() + within;
  for (let pause = 20; ; pause = Math.min(1.5 * pause, 250)) {
    try {
      return await assertion();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
