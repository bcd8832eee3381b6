/** The API key of a gateway that asks for one: kept as long as the tab is open, and sent to that gateway alone. */

const STORED = "neurocity-key";
const PROTOCOL = "neurocity.live.v1";
const KEY_PROTOCOL = "neurocity.key.";

const dialog = document.getElementById("key-dialog");
const input = document.getElementById("key");

/** The headers that show the key, if there is one. */
export function keyHeaders() {
  const key = sessionStorage.getItem(STORED);
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** The subprotocols of a socket: browsers let a page set no header of it. */
export function liveProtocols() {
  const key = sessionStorage.getItem(STORED);
  return key === null ? [PROTOCOL] : [PROTOCOL, KEY_PROTOCOL + base64url(key)];
}

let asking = null;

/** A promise of whether the user has given a key; all that ask meanwhile get the same. */
export function askForKey() {
  asking ??= new Promise((resolve) => {
    const rejected = sessionStorage.getItem(STORED) !== null;
    document.getElementById("key-rejected").hidden = !rejected;
    input.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      asking = null;
      const key = input.value.trim();
      const given = dialog.returnValue === "use" && /^[\x21-\x7e]+$/.test(key);
      if (given) sessionStorage.setItem(STORED, key);
      resolve(given);
    }, { once: true });
  });
  return asking;
}

function base64url(text) {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
