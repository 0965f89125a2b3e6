// One place that touches the DOM for live data: at most once per frame, however many events arrive in it.

/** @type {Map<unknown, () => void>} */
const draws = new Map();
/** @type {((paintedAt: number) => void)[]} */
let afterPaint = [];
let requested = false;

/**
 * Draw in the next frame. A later request under the same key replaces an earlier one.
 * @param {unknown} key
 * @param {() => void} draw
 */
export function drawSoon(key, draw) {
  draws.set(key, draw);
  request();
}

/**
 * Call back when what was asked to be drawn so far is on screen. The first animation frame draws; when the second one
 * begins, the browser has given the first to the screen. Hidden pages do not paint, so then it waits.
 * @param {(paintedAt: number) => void} callback gets `performance.now()` time
 */
export function whenPainted(callback) {
  afterPaint.push(callback);
  request();
}

function request() {
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => {
    requested = false;
    const now = [...draws.values()];
    const callbacks = afterPaint;
    draws.clear();
    afterPaint = [];
    for (const draw of now) {
      try {
        draw();
      } catch (error) {
        reportError(error); // one broken list must not stop the others
      }
    }
    if (callbacks.length) {
      requestAnimationFrame(() => {
        const paintedAt = performance.now();
        for (const callback of callbacks) callback(paintedAt);
      });
    }
  });
}
