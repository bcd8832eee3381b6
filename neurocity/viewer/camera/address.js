/** The view in the address bar: #scene=lego&eye=3,-3,2&target=0,0,0&fov=45&output=depth */

/** What a device draws of a scene, and what a server gives. */
export const DRAWN_OUTPUTS = ["rgb", "depth", "opacity"];
export const OUTPUTS = [...DRAWN_OUTPUTS, "normal"];

/** What the hash says; a part that is absent or malformed is null. fov in degrees. */
export function readAddress(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const fov = Number(query.get("fov"));
  return {
    scene: query.get("scene"),
    eye: vector(query.get("eye")),
    target: vector(query.get("target")),
    fov: fov > 0 && fov < 150 ? fov : null,
    output: OUTPUTS.find((name) => name === query.get("output")) ?? "rgb",
  };
}

export function writeAddress({ scene, camera, output }) {
  const query = new URLSearchParams({
    scene,
    ...places(camera.eye, camera.target),
    fov: number((camera.fov * 180) / Math.PI),
  });
  if (output !== "rgb") query.set("output", output);
  history.replaceState(null, "", `#${query.toString().replaceAll("%2C", ",")}`);
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

function vector(text) {
  const values = (text ?? "").split(",").map((item) => (item.trim() === "" ? NaN : Number(item)));
  return values.length === 3 && values.every(Number.isFinite) ? values : null;
}
