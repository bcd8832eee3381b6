/** Mouse, touch and keyboard to movements of a camera. */

const WHEEL_ZOOM = 0.0015; // per pixel of wheel travel
const PINCH_ZOOM = 0.012; // the same for a pinch on a touchpad, which arrives as a wheel with Ctrl
const WHEEL_UNITS = [1, 16, 400]; // pixels of a pixel, a line, a page
const KEY_TURN = 0.035; // shares of the image's height
const KEY_ZOOM = 0.85;

const KEY_DIRECTIONS = {
  ArrowLeft: [1, 0],
  ArrowRight: [-1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

/**
 * Let the canvas steer: `move(change)` is called with a function that changes a camera. While `flying()` says so,
 * a drag turns the camera where it stands.
 */
export function attachPointer(canvas, move, flying) {
  const pointers = new Map();

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    showCursor(event);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = summary(pointers);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const after = summary(pointers);
    const { clientWidth, clientHeight } = canvas;
    const right = (after.x - before.x) / clientHeight;
    const down = (after.y - before.y) / clientHeight;
    const aspect = clientWidth / clientHeight;
    if (pointers.size > 1) {
      move((camera) => {
        camera.pan(right, down, aspect);
        if (after.spread > 0) camera.zoom(before.spread / after.spread);
      });
    } else if (pans(event)) {
      move((camera) => camera.pan(right, down, aspect));
    } else if (flying()) {
      move((camera) => camera.look(right, down, aspect));
    } else {
      move((camera) => camera.turn(right, down));
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (pointers.size === 0) canvas.classList.remove("turning", "moving");
    });
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const travel = event.deltaY * WHEEL_UNITS[event.deltaMode];
    const rate = event.ctrlKey ? PINCH_ZOOM : WHEEL_ZOOM;
    move((camera) => camera.zoom(Math.exp(travel * rate)));
  }, { passive: false });

  function showCursor(event) {
    canvas.classList.toggle("moving", pans(event));
    canvas.classList.toggle("turning", !pans(event));
  }
}

/** Let the keyboard steer, and run `actions[key]()`; keys that a form control or a dialog needs are left to it. */
export function attachKeyboard(canvas, move, actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, dialog, input:not([type=radio])")) return;
    const direction = KEY_DIRECTIONS[event.key];
    const action = actions[event.key] ?? actions[event.key.toLowerCase()]; // Shift and Caps Lock make capitals
    if (direction && event.target.closest("input")) return;
    if (direction) {
      const [right, down] = direction.map((value) => value * KEY_TURN);
      const aspect = canvas.clientWidth / canvas.clientHeight;
      move((camera) => (event.shiftKey ? camera.pan(right, down, aspect) : camera.turn(right, down)));
    } else if (event.key === "+" || event.key === "=") {
      move((camera) => camera.zoom(KEY_ZOOM));
    } else if (event.key === "-") {
      move((camera) => camera.zoom(1 / KEY_ZOOM));
    } else if (action) {
      if (!event.repeat) action();
    } else {
      return;
    }
    event.preventDefault();
  });
}

function pans(event) {
  return (event.buttons & 2) !== 0 || event.shiftKey;
}

/** Middle of the pointers, and how far they are from it. */
function summary(pointers) {
  const places = [...pointers.values()];
  const x = places.reduce((sum, place) => sum + place.x, 0) / places.length;
  const y = places.reduce((sum, place) => sum + place.y, 0) / places.length;
  const spread = places.reduce((sum, place) => sum + Math.hypot(place.x - x, place.y - y), 0);
  return { x, y, spread };
}
