/** Flying with held keys: W and S forward and back, A and D to the sides, Q and E down and up; Shift is faster. */

const SPEED = 0.7; // of the distance to the target, a second
const SLOWEST = 0.02; // of the scene's diagonal, a second
const FASTER = 4;
const LONGEST_STEP = 0.1; // seconds: a page that was held up goes on, and does not leap

const KEYS = {
  KeyW: [1, 0, 0],
  KeyS: [-1, 0, 0],
  KeyD: [0, 1, 0],
  KeyA: [0, -1, 0],
  KeyE: [0, 0, 1],
  KeyQ: [0, 0, -1],
};

export class Flight {
  /** move(change) is called with a function that changes a camera, once an animation frame while keys are held. */
  constructor(move) {
    this.move = move;
    this.held = new Set();
    this.fast = false;
    this.frame = null;
    // By `code`, the place of a key: the letters there are others on other keyboards.
    document.addEventListener("keydown", (event) => this.#pressed(event));
    document.addEventListener("keyup", (event) => {
      this.fast = event.shiftKey;
      this.held.delete(event.code);
    });
    window.addEventListener("blur", () => this.held.clear());
  }

  /** Whether somebody flies now. */
  get active() {
    return this.held.size > 0;
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.code]) return;
    if (event.target.closest?.("select, dialog, input:not([type=radio])")) return;
    event.preventDefault();
    this.fast = event.shiftKey;
    this.held.add(event.code);
    if (this.frame === null) this.frame = requestAnimationFrame((now) => this.#step(now, now - 1000 / 60));
  }

  #step(now, before) {
    this.frame = null;
    if (this.held.size === 0) return;
    const seconds = Math.min(Math.max((now - before) / 1000, 0), LONGEST_STEP);
    const way = [0, 1, 2].map((axis) => [...this.held].reduce((sum, code) => sum + KEYS[code][axis], 0));
    this.move((camera) => {
      const speed = Math.max(SPEED * camera.radius, SLOWEST * camera.diagonal) * (this.fast ? FASTER : 1);
      camera.fly(...way.map((share) => share * speed * seconds));
    });
    this.frame = requestAnimationFrame((next) => this.#step(next, now));
  }
}
