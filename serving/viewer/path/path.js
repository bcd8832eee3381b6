/**
 * A camera path: keyframes { eye, target, fov } in equal times, and a smooth curve through them. Eye, target
 * and field of view follow a uniform Catmull-Rom spline, so that the horizon stays level between keyframes.
 */

export class CameraPath {
  constructor() {
    this.keyframes = [];
    this.seconds = 8;
    this.loop = false;
  }

  add(keyframe) {
    this.keyframes.push(keyframe);
  }

  remove(index) {
    this.keyframes.splice(index, 1);
  }

  /** Let a keyframe change places with the one `by` places behind it. */
  move(index, by) {
    const [keyframe] = this.keyframes.splice(index, 1);
    this.keyframes.splice(index + by, 0, keyframe);
  }

  /** Whether there is a way to go. */
  get playable() {
    return this.keyframes.length > 1;
  }

  /** The camera at a share of the whole time, in [0, 1]. */
  at(share) {
    const count = this.keyframes.length;
    const place = Math.min(Math.max(share, 0), 1) * (this.loop ? count : count - 1);
    const segment = Math.min(Math.floor(place), this.loop ? count - 1 : count - 2);
    const around = [-1, 0, 1, 2].map((step) => this.#keyframe(segment + step));
    const weights = catmullRom(place - segment);
    return {
      eye: mix(around.map((keyframe) => keyframe.eye), weights),
      target: mix(around.map((keyframe) => keyframe.target), weights),
      fov: mix(around.map((keyframe) => [keyframe.fov]), weights)[0],
    };
  }

  /** `count` cameras in equal times: from the first keyframe to the last, or round a loop, whose end is its start. */
  frames(count) {
    const last = this.loop ? count : Math.max(count - 1, 1);
    return Array.from({ length: count }, (_, index) => this.at(index / last));
  }

  /** The keyframe of any number: of a loop it goes on, of an open path it goes straight on from its ends. */
  #keyframe(index) {
    const { keyframes, loop } = this;
    const count = keyframes.length;
    if (loop) return keyframes[(index + count) % count];
    if (index < 0) return beyond(keyframes[0], keyframes[1]);
    if (index >= count) return beyond(keyframes[count - 1], keyframes[count - 2]);
    return keyframes[index];
  }
}

function beyond(end, before) {
  const weights = [2, -1];
  return {
    eye: mix([end.eye, before.eye], weights),
    target: mix([end.target, before.target], weights),
    fov: 2 * end.fov - before.fov,
  };
}

/** The weights of the four points around a segment, at t of it in [0, 1] (Catmull and Rom 1974). */
function catmullRom(t) {
  return [
    ((2 - t) * t - 1) * t / 2,
    ((3 * t - 5) * t * t + 2) / 2,
    ((4 - 3 * t) * t + 1) * t / 2,
    (t - 1) * t * t / 2,
  ];
}

function mix(vectors, weights) {
  return vectors[0].map((_, axis) => vectors.reduce((sum, vector, i) => sum + weights[i] * vector[axis], 0));
}
