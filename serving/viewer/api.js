/** The gateway's HTTP API. URLs are relative to the page, so that it works behind any path prefix. */

/** A request that failed: a problem+json answer, or no answer at all (status 0). */
export class RequestFailure extends Error {
  constructor(status, title, detail) {
    super(detail);
    this.status = status;
    this.title = title;
  }

  /** Whether the same request may work later. */
  get temporary() {
    return this.status === 0 || this.status >= 500;
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

/** The absolute URL of a PNG of that view. */
export function imageLink(scene, { eye, target, fov, width, height, output }) {
  const link = new URL(`v1/scenes/${encodeURIComponent(scene)}/render.png`, document.baseURI);
  const query = { ...places(eye, target), fov: number(fov), width, height };
  if (output !== "rgb") query.output = output;
  // Commas stay readable; they need no escape in a query.
  link.search = new URLSearchParams(query).toString().replaceAll("%2C", ",");
  return link.href;
}

/**
 * Eye and target as text, as in links: to a millionth of the distance between them, however far from zero
 * they are.
 */
export function places(eye, target) {
  const distance = Math.hypot(...eye.map((value, axis) => value - target[axis]));
  const decimals = Math.min(Math.max(6 - Math.floor(Math.log10(distance)), 0), 20);
  const text = (place) => place.map((value) => String(Number(value.toFixed(decimals)))).join(",");
  return { eye: text(eye), target: text(target) };
}

/** A number as text with six digits. */
export function number(value) {
  return String(Number(value.toPrecision(6)));
}

async function getJson(path) {
  return (await answerTo(path, {})).json();
}

async function answerTo(path, options) {
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailure(0, "The server cannot be reached", "It may be stopped, or the network is down.");
  }
  if (response.ok) return response;
  let problem = {};
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    problem = await response.json();
  }
  const title = problem.title ?? `The server answered ${response.status} ${response.statusText}`;
  throw new RequestFailure(response.status, title, problem.detail ?? "It gave no reason.");
}
