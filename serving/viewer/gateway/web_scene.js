/**
 * The files of a scene that browsers draw, from the gateway. They are fetched and read, and not run as scripts as
 * on other hosts: a request of a script cannot show an API key.
 */

import { decodeBase64 } from "../scene/groups.js";
import { answerTo } from "./api.js";

/** A promise of the scene's header; web: of the scene's description. */
export async function fetchHeader(web, signal) {
  const text = await fetchFile(web, "scene.js", web.header_sha256, signal);
  return JSON.parse(text.slice(text.indexOf("(") + 1, text.lastIndexOf(")")));
}

/** What `openScene` takes groups from: number -> a promise of the gzip bytes of that group. */
export function fetchedGroups(web, header, signal) {
  return async (number) => {
    const { file, sha256 } = header.groups[number];
    const text = await fetchFile(web, file, sha256, signal);
    return decodeBase64(text.slice(text.indexOf('"') + 1, text.lastIndexOf('"')));
  };
}

/** A file of known bytes: whoever keeps it need not ask again. */
async function fetchFile({ page }, file, sha256, signal) {
  const response = await answerTo(`${page}${file}?sha256=${sha256}`, { signal });
  return response.text();
}
