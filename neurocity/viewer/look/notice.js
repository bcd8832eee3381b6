/** Short words to the user, and what went wrong. */

import { element } from "./elements.js";

const NOTICE_MS = 6000;

let noticeTimer = null;

/** Show something for a few seconds. */
export function notice(...content) {
  element("notice").replaceChildren(...content);
  element("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (element("notice").hidden = true), NOTICE_MS);
}

/** Copy a link, and say so; `what` names it. */
export async function copyLink(link, what) {
  let outcome = "Copied a link to ";
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    // Browsers refuse pages that are not from https or this machine.
    outcome = "Copying is not allowed here; open ";
  }
  const anchor = Object.assign(document.createElement("a"), { href: link, target: "_blank", textContent: what });
  notice(outcome, anchor, ".");
}

/** Say what is wrong until `hideProblem`. */
export function showProblem(title, detail) {
  element("problem-title").textContent = title;
  element("problem-detail").textContent = detail;
  element("problem").hidden = false;
}

export function hideProblem() {
  element("problem").hidden = true;
}
