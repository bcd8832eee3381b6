/** The gateway's API. URLs are relative to the page, so that it works behind any path prefix. */

import { number, places } from "../camera/address.js";
import { askForKey, keyHeaders, liveProtocols } from "./key.js";

/** A request that failed: a problem+json answer, or no answer at all (status 0). */
export class RequestFailure extends Error {
  /** retryInMs: when the gateway itself tries again; null where it does not. */
  constructor(status, title, detail, retryInMs = null) {
    super(detail);
    Object.assign(this, { status, title, retryInMs });
  }

  /** Whether the same request may work later. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Whether the server gave up because the image took too long. */
  get timedOut() {
    return this.status === 504;
  }
}

/** The names of the scenes, in the server's order. */
export async function listScenes() {
  const { scenes } = await getJson("v1/scenes");
  return scenes.map((item) => item.scene);
}

/** Bounds, up, views and limits of a scene. */
export function describeScene(scene) {
  return getJson(`v1/scenes/${encodeURIComponent(scene)}`);
}

/** The bytes of one image as a Response; `body` is a render request, `signal` aborts it. */
export function renderImage(scene, body, signal) {
  return answerTo(`v1/scenes/${encodeURIComponent(scene)}/render`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/** A socket for the live view of a scene. */
export function liveSocket(scene) {
  const url = new URL(`v1/scenes/${encodeURIComponent(scene)}/live`, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, liveProtocols());
}

/** The absolute URL of a PNG of that view. */
export function imageLink(scene, { eye, target, fov, width, height, output }) {
  const link = new URL(`v1/scenes/${encodeURIComponent(scene)}/render.png`, document.baseURI);
  const query = { ...places(eye, target), fov: number(fov), width, height };
  if (output !== "rgb") query.output = output;
  // Commas stay readable; they need no escape in a query.
  link.search = new URLSearchParams(query).toString().replaceAll("%2C", ",");
  return link.href;
}

export async function getJson(path, signal) {
  return (await answerTo(path, { signal })).json();
}

/** The answer to a request, which succeeded; asks for an API key where the gateway wants one. */
export async function answerTo(path, options) {
  const response = await send(path, options);
  if (response.ok) return response;
  if (response.status === 401 && (await askForKey())) return answerTo(path, options);
  let problem = {};
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    problem = await response.json();
  }
  const title = problem.title ?? `The server answered ${response.status} ${response.statusText}`;
  throw new RequestFailure(response.status, title, problem.detail ?? "It gave no reason.");
}

async function send(path, { headers, ...options }) {
  try {
    return await fetch(new URL(path, document.baseURI), { ...options, headers: { ...headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailure(0, "The server cannot be reached", "It may be stopped, or the network is down.");
  }
}
