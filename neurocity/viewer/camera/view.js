/** What is looked at: a camera in a scene, and one of its outputs. The address bar follows. */

import { readAddress, writeAddress } from "./address.js";
import { OrbitCamera, targetDistance } from "./camera.js";

const ADDRESS_AFTER_MS = 200;

export class View {
  /** changed({ moved, anew }): called when the view is another; anew where it is not the same scene or output. */
  constructor(changed) {
    this.changed = changed;
    this.scene = null; // its name
    this.info = null; // { bounds, up, views } in world coordinates
    this.camera = null; // null until the scene is known
    this.output = "rgb";
    this.timer = null;
  }

  /** Look at a scene: with fov in degrees and from eye to target where both are given, else as its first view does. */
  open(scene, info, { eye, target, fov } = {}) {
    Object.assign(this, { scene, info });
    this.camera = OrbitCamera.ofScene(info);
    if (fov) this.camera.fov = (fov * Math.PI) / 180;
    if (eye && target && eye.some((value, axis) => value !== target[axis])) this.camera.lookAt(eye, target);
    this.#tell({ moved: false, anew: true });
  }

  /** Let change(camera) change the camera. */
  move(change) {
    if (this.camera === null) return;
    change(this.camera);
    this.#tell({ moved: true, anew: false });
  }

  /** Back to the first view. */
  home() {
    if (this.camera === null) return;
    this.camera = OrbitCamera.ofScene(this.info);
    this.#tell({ moved: true, anew: false });
  }

  choose(output) {
    this.output = output;
    if (this.camera !== null) this.#tell({ moved: false, anew: true });
  }

  /** The camera as { eye, target, fov }: fov of the shorter side, in radians. Null until there is one. */
  get keyframe() {
    return this.camera && { eye: this.camera.eye, target: [...this.camera.target], fov: this.camera.fov };
  }

  set keyframe({ eye, target, fov }) {
    this.move((camera) => {
      camera.fov = fov;
      camera.lookAt(eye, target);
    });
  }

  /** How far before a camera its target is. */
  targetDistance(eye, forward) {
    return targetDistance(this.info, eye, forward);
  }

  /** What an image of that aspect (width / height) is asked for with: fov vertical, in degrees. */
  of(aspect) {
    const { eye, target } = this.camera;
    return { eye, target, fov: this.camera.verticalFov(aspect), output: this.output };
  }

  /** The address of the page with this view, which the address bar shows from now on. */
  link() {
    clearTimeout(this.timer);
    writeAddress(this);
    return location.href;
  }

  #tell(what) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => writeAddress(this), ADDRESS_AFTER_MS);
    this.changed(what);
  }
}

/** The view that the address bar asks for, see `readAddress`. */
export function addressedView() {
  return readAddress(location.hash);
}
