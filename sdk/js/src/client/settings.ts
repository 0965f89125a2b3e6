/** The default address of the service: `configure()`, the environment, or the origin of the page. */

import { expected, mustBeObject } from "../protocol/expected.js";
import { onlyKnown } from "./known.js";

/** The defaults. */
export interface Defaults {
  /** The server's address, such as `https://realtime.example.com`. */
  url?: string;
  /** The key: of the application in browsers, of the REST API on servers. */
  apiKey?: string;
}

let configured: Defaults = {};

/** @internal */
export const setDefaults = (given: Defaults): void => {
  mustBeObject("options", given);
  const { url, apiKey, ...unknown } = given;
  onlyKnown(unknown);
  checkUrl(url);
  checkKey(apiKey ?? "");
  configured = { ...configured, ...given };
};

/** @internal */
export function defaults(): { url: string; apiKey: string | undefined } {
  const environment = globalThis.process?.env;
  const origin = globalThis.location?.origin;
  return {
    url:
      configured.url ??
      environment?.BUNBASE_REALTIME_URL ??
      (origin?.startsWith("http") ? origin : "http://localhost:8000"),
    apiKey: configured.apiKey ?? environment?.BUNBASE_REALTIME_KEY,
  };
}

/** The endpoint of an address: with `http` or `https`, and `/realtime` at the end of its path. Throws a `TypeError`. @internal */
export function endpoint(url: string): URL {
  if (!/^(http|ws)s?:\/\/./.test(url) || !URL.canParse(url)) expected("url", "an address like https://host", url);
  const address = new URL(url.replace(/^ws/, "http"));
  address.pathname = address.pathname.replace(/(\/realtime)?\/*$/, "/realtime");
  return address;
}

/** A `TypeError`, without the key, if no header can carry it. The one of `Headers` would have it. @internal */
export function checkKey(apiKey: unknown): void {
  if (typeof apiKey !== "string" || !/^[\t -~]*$/.test(apiKey))
    expected("apiKey", "a string of printable ASCII", typeof apiKey);
}

/** What {@link endpoint} takes, and with a port that can be connected to. Throws a `TypeError`. @internal */
export function checkUrl(url: string | undefined): void {
  if (url !== undefined && endpoint(url).port === "0") expected("url", "a port from 1", url);
}
