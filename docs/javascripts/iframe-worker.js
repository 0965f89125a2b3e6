// Browsers start no worker from a file: page, and the site's search runs in one. So pages opened from disk get a stand-in
// that runs the worker's script in a hidden frame. Pages from a web server keep the real worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #started;

    constructor(url) {
      super();
      this.#frame.hidden = true;
      document.documentElement.append(this.#frame);
      const inside = this.#frame.contentWindow;
      inside.postMessage = (data) => this.#receive(new MessageEvent("message", { data }));
      const script = inside.document.createElement("script");
      script.src = url;
      this.#started = new Promise((resolve, reject) => {
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${url} cannot be loaded`));
      });
      inside.document.body.append(script);
    }

    #receive(event) {
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }

    postMessage(data) {
      this.#started.then(() => this.#frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.#frame.remove();
    }
  };
}
