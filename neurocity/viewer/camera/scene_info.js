/** What a page must know of a scene, in world coordinates, from the `info` of a manifest. */

/** { bounds, up, background, origin, views }: as the gateway describes a scene; `origin` is zero in the model. */
export function infoInWorld({ bounds, up, background, origin, views }) {
  return {
    bounds: bounds.map((value, i) => value + origin[i % 3]),
    up,
    background,
    origin,
    views: views.map((view) => ({ ...view, camera_to_world: moved(view.camera_to_world, origin) })),
  };
}

/** A pose whose place is moved by an offset. */
function moved(pose, offset) {
  return pose.map((row, i) => (i < 3 ? [...row.slice(0, 3), row[3] + offset[i]] : row));
}
