/** The files of a web scene: classic scripts, which load from a disk as well as from every host. */

/** Script elements that are under way -> what takes what they bring. */
const expected = new Map();

/** Files call these functions; each belongs to the script element that runs. */
function receive(...values) {
  expected.get(document.currentScript)?.(values);
}

/** A promise of the header of the scene in the folder `base`, an address that ends with a slash or is empty. */
export async function loadHeader(base = "") {
  const [header] = await loadScript(`${base}scene.js`);
  return header;
}

/** What `openScene` takes groups from: number -> a promise of the gzip bytes of that group. */
export function groupSource(header, base = "") {
  // Hosts and browsers may keep files for long, under a name that belongs to their content. Disks have no such names.
  const isFile = new URL(base, document.baseURI).protocol === "file:";
  return async (number) => {
    const { file, packed, sha256 } = header.groups[number];
    const [named, text] = await loadScript(base + file + (isFile ? "" : `?sha256=${sha256}`));
    const bytes = decodeBase64(text);
    if (named !== number || bytes.length !== packed) {
      throw new Error(`${file} is group ${named} of ${bytes.length} bytes, expected group ${number} of ${packed}`);
    }
    return bytes;
  };
}

function loadScript(address) {
  Object.assign(globalThis, { neurocityScene: receive, neurocityGroup: receive });
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    let values = null;
    expected.set(script, (given) => (values = given));
    const end = () => {
      expected.delete(script);
      script.remove();
      if (values) resolve(values);
      else reject(new Error(`${address} cannot be loaded: the scene's folder lacks it, or the server did not send it`));
    };
    script.addEventListener("load", end);
    script.addEventListener("error", end);
    script.src = address;
    document.head.append(script);
  });
}

/** The bytes that base64 stands for. */
export function decodeBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = characters.charCodeAt(index);
  return bytes;
}
