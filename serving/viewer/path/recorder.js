/** The panel of camera paths: a list of keyframes, and what can be done with them. */

import { readCameraPath, writeCameraPath } from "./camera_path_file.js";
import { CameraPath } from "./path.js";
import { renderVideo } from "./videos.js";

const FRAMES_PER_SECOND = 30;

const element = (id) => document.getElementById(id);

export class Recorder {
  /**
   * view(): the present camera as a keyframe, or null. show(keyframe): look at it. scene(): the description of
   * the scene. distance(eye, forward): where a camera's target is. say(...content): tell the user.
   */
  constructor({ view, show, scene, distance, say }) {
    Object.assign(this, { view, show, scene, distance, say });
    this.path = new CameraPath();
    this.playing = null; // the number of the animation frame to come
    this.film = null; // the AbortController of the film that is being made
    element("path-add").addEventListener("click", () => this.add());
    element("path-play").addEventListener("click", () => this.togglePlay());
    element("path-close").addEventListener("click", () => this.toggle());
    element("path-loop").addEventListener("change", ({ target }) => this.#change(() => (this.path.loop = target.checked)));
    element("path-seconds").addEventListener("change", ({ target }) => {
      if (target.validity.valid) this.path.seconds = target.valueAsNumber;
      target.value = this.path.seconds;
    });
    element("path-export").addEventListener("click", () => this.#export());
    element("path-import").addEventListener("click", () => element("path-file").click());
    element("path-file").addEventListener("change", ({ target }) => this.#import(target));
    element("video-render").addEventListener("click", () => (this.film ? this.film.abort() : this.#renderVideo()));
    this.#update();
  }

  /** Open or close the panel. */
  toggle() {
    const panel = element("path");
    panel.hidden = !panel.hidden;
    element("path-open").ariaExpanded = String(!panel.hidden);
    if (panel.hidden) {
      this.stop();
      element("path-open").focus();
    } else {
      element("path-add").focus();
    }
  }

  /** Keep the present view as the next keyframe. */
  add() {
    const keyframe = this.view();
    if (keyframe === null) return;
    if (element("path").hidden) this.toggle();
    this.#change(() => this.path.add(keyframe));
    element("path-list").lastElementChild.scrollIntoView({ block: "nearest" });
    element("path-said").textContent = `Added keyframe ${this.path.keyframes.length}.`;
  }

  togglePlay() {
    if (this.playing !== null) return this.stop();
    if (!this.path.playable) return;
    const started = performance.now();
    const step = (now) => {
      const share = Math.max(now - started, 0) / (1000 * this.path.seconds);
      this.show(this.path.at(this.path.loop ? share % 1 : share));
      if (share >= 1 && !this.path.loop) this.stop();
      else this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
    this.#update();
  }

  /** Stop playing: the user moves the camera, or the scene changes. */
  stop() {
    if (this.playing === null) return;
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.#update();
  }

  /** Offer films in the formats that the gateway makes. */
  offer(formats) {
    element("video-format").replaceChildren(...formats.map((name) => new Option(name)));
    element("video").hidden = formats.length === 0;
  }

  /** Begin anew: another scene has other coordinates. */
  clear() {
    this.film?.abort();
    this.#change(() => (this.path.keyframes = []));
  }

  #change(change) {
    this.stop();
    change();
    this.#update();
  }

  #update() {
    const { keyframes, loop, seconds, playable } = this.path;
    element("path-list").replaceChildren(...keyframes.map((_, index) => this.#row(index, keyframes.length)));
    element("path-empty").hidden = keyframes.length > 0;
    element("path-loop").checked = loop;
    element("path-seconds").value = seconds;
    for (const id of ["path-play", "path-export", "video-render"]) element(id).disabled = !playable;
    element("path-play").textContent = this.playing === null ? "Play" : "Stop";
  }

  #row(index, count) {
    const button = (text, label, action, disabled = false) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, disabled });
      made.ariaLabel = made.title = `${label} keyframe ${index + 1}`;
      made.addEventListener("click", action);
      return made;
    };
    const row = document.createElement("li");
    const move = (by) => this.#change(() => this.path.move(index, by));
    row.append(
      button(`View ${index + 1}`, "Show", () => {
        this.stop();
        this.show(this.path.keyframes[index]);
      }),
      button("↑", "Move up", () => this.#refocus(index - 1, 1, () => move(-1)), index === 0),
      button("↓", "Move down", () => this.#refocus(index + 1, 2, () => move(1)), index === count - 1),
      button("×", "Remove", () => this.#refocus(index, 3, () => this.#change(() => this.path.remove(index)))),
    );
    return row;
  }

  /** Do what makes the list anew, and give the focus to the same button of the row that it is about. */
  #refocus(index, place, action) {
    action();
    const rows = element("path-list").children;
    const row = rows[Math.min(index, rows.length - 1)];
    const button = row?.children[place];
    (button?.disabled ? row.children[0] : (button ?? element("path-add"))).focus();
  }

  #size() {
    const [width, height] = element("video-size").value.split("x").map(Number);
    return { width, height, framesPerSecond: FRAMES_PER_SECOND };
  }

  #export() {
    const text = writeCameraPath(this.path, this.scene(), this.#size());
    save(new Blob([text], { type: "application/json" }), "camera_path.json");
  }

  async #import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const { keyframes, seconds, loop } = readCameraPath(await file.text(), this.distance);
      this.#change(() => Object.assign(this.path, { keyframes, loop, seconds: seconds ?? this.path.seconds }));
      element("path-said").textContent = `Opened ${keyframes.length} keyframes.`;
    } catch (error) {
      this.say(`“${file.name}” cannot be opened: ${error.message}.`);
    }
  }

  async #renderVideo() {
    const film = new AbortController();
    this.film = film;
    const { scene } = this.scene();
    const format = element("video-format").value;
    const size = this.#size();
    const progress = element("video-progress");
    element("video-render").textContent = "Cancel";
    progress.removeAttribute("value");
    progress.hidden = false;
    try {
      const cameraPath = JSON.parse(writeCameraPath(this.path, this.scene(), size));
      const blob = await renderVideo(scene, { cameraPath, format, ...size }, (job) => {
        element("path-said").textContent = job === null ? "No answer from the gateway; asking again." : "";
        if (job === null) return;
        progress.value = job.frames_done / job.frames;
        // Beside what screen readers say at once: they would say it each second.
        element("video-frames").textContent = `${job.frames_done} of ${job.frames} frames`;
      }, film.signal);
      save(blob, `${scene}.${format}`);
      element("path-said").textContent = "The film is saved.";
    } catch (error) {
      element("path-said").textContent = "";
      if (!film.signal.aborted) this.say(`The film cannot be made: ${error.message}`);
    } finally {
      this.film = null;
      progress.hidden = true;
      element("video-frames").textContent = "";
      element("video-render").textContent = "Render video";
    }
  }
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
