// Waiting for what is not announced, in Node and in the browser.

/** Try again until the assertion holds; fail with what it reported last. */
export async function eventually(assertion, within = 20_000) {
  const deadline = Date.now() + within;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
