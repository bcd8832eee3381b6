/** The header of a web scene, as docs/web.md says, and what the renderer takes of it. */

import { colourTexels } from "./colours.glsl.js";

const LAYOUT = 1;
const TEXEL_BYTES = 16;

/** What shaders, textures and decoder are made for; throws an Error for a header of another layout. */
export function readModel(header) {
  if (header?.layout !== LAYOUT) {
    throw new Error(`layout: got ${header?.layout}, this page reads ${LAYOUT}: open the scene with its own page`);
  }
  const { settings, levels, bits, groups } = header;
  const model = {
    degree: settings.sh_degree,
    samples: settings.samples_per_voxel,
    floats: bits.density === 32,
    hasSky: header.sky !== null,
    cells: levels.reduce((sum, { cells }) => sum + cells, 0),
    nodes: levels.reduce((sum, { inner }) => sum + inner, 0),
    deepest: levels.length - 1,
  };
  // The deepest level of which the first groups, whole, have all cells.
  const levelsAfter = groups.map((_, index) => {
    const counts = levels.map(() => 0);
    for (const { level, cells } of groups.slice(0, index + 1).flatMap(({ blocks }) => blocks)) counts[level] += cells;
    const missing = levels.findIndex(({ cells }, level) => counts[level] < cells);
    return missing < 0 ? model.deepest : missing - 1;
  });
  return { ...model, levelsAfter };
}

/** What `GroupDecoder` is made for. */
export function decoderDescription(header, model) {
  return {
    floats: model.floats,
    degree: model.degree,
    record: TEXEL_BYTES * colourTexels(model),
    inner: model.nodes,
    deepest: model.deepest,
    voxelPoints: header.voxel_points,
    innerPoints: header.levels.map(({ inner_points }) => inner_points),
  };
}

/** Values of the uniforms that belong to the scene, for the programs that draw it. */
export function sceneUniforms(header, model) {
  const { settings } = header;
  const names = ["root_side", "near", "far", "density_scale", "brightest", "least_light", "faintest"];
  const values = Object.fromEntries(names.map((name) => [name, settings[name]]));
  if (model.floats) return values;
  const { density, constant, harmonics } = header;
  return {
    ...values,
    density_range: [density.low, density.step],
    constant_low: constant.low,
    constant_step: constant.step,
    ...(model.degree > 0 && { harmonic_step: { vectors: harmonics.step.flat() } }),
  };
}

/** A point of the scene's coordinates in the octree's unit cube, in steps of 32-bit floats as kernels do. */
export function unitPoint(header, point) {
  const round = Math.fround;
  const side = round(header.settings.root_side);
  return point.map((value, axis) => round(round(round(value) - round(header.root_low[axis])) / side));
}
