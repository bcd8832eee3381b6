/** The view in the address bar: #scene=lego&eye=3,-3,2&target=0,0,0&fov=45&output=depth */

import { number, places } from "./api.js";

const OUTPUTS = ["rgb", "depth", "opacity"];

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

function vector(text) {
  const values = (text ?? "").split(",").map((item) => (item.trim() === "" ? NaN : Number(item)));
  return values.length === 3 && values.every(Number.isFinite) ? values : null;
}
