/** Films of a camera path, made by gateways that make them. */

import { answerTo, getJson, RequestFailure } from "../gateway/api.js";

const POLL_MS = 1000;

/**
 * A promise of the film as a Blob. progress(job): called now and then with what the gateway says of it, and
 * with null while it says nothing: a film outlives its gateway. When `signal` is aborted, the film is given up.
 */
export async function renderVideo(scene, { cameraPath, format, width, height }, progress, signal) {
  // Not ended by the signal: an order that arrived would be rendered, and nobody would know its name.
  const response = await answerTo(`v1/scenes/${encodeURIComponent(scene)}/videos`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ camera_path: cameraPath, format, width, height }),
  });
  let job = await response.json();
  const place = `v1/videos/${encodeURIComponent(job.id)}`;
  try {
    while (["queued", "rendering", "encoding"].includes(job.state)) {
      progress(job);
      await pause(POLL_MS, signal);
      job = await patiently(() => getJson(place, signal), () => progress(null), signal);
    }
    if (job.state !== "done") throw new Error(job.error?.detail ?? `the film was ${job.state}`);
    return await (await answerTo(`${place}/result`, { signal })).blob();
  } catch (error) {
    if (signal.aborted) await answerTo(place, { method: "DELETE" });
    throw error;
  }
}

/** What `ask` promises, asked for again while there is no answer that counts; `waits` is called before that. */
async function patiently(ask, waits, signal) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof RequestFailure && error.temporary)) throw error;
      waits();
      await pause(POLL_MS, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
