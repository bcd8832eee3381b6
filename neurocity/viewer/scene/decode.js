/**
 * Groups of cells: the bytes of a file (docs/web.md) to arrays that textures take.
 *
 * The work is done in a worker, so that the page stays smooth, and where workers are forbidden on the page: by
 * the same class, whose own text is what the worker runs. So nothing in it may refer to this module.
 */

export class GroupDecoder {
  #description;
  #record; // bytes of a cell's colour
  #innerCount = 0;
  #innerPlaces; // x, y, z of inner cells
  #innerParents;
  #innerColours; // of inner cells; the first is that of the root's parent, which does not exist
  #voxelPoints;
  #innerPoints = null; // of one level

  /** description: { floats, degree, record, inner, deepest, voxelPoints, innerPoints: numbers by level }. */
  constructor(description) {
    this.#description = description;
    this.#record = description.record;
    this.#innerPlaces = new Uint16Array(3 * description.inner);
    this.#innerParents = new Int32Array(description.inner);
    this.#innerColours = description.floats ? null : new Uint8Array((description.inner + 1) * this.#record);
    this.#voxelPoints = GroupDecoder.#points(description.voxelPoints, description.floats);
  }

  /** A promise of the arrays of a group's blocks, which must come in their order; packed: its gzip bytes. */
  async decode(packed, blocks) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const reader = { bytes, at: 0 };
    const decoded = blocks.map((block) => this.#block(block, reader));
    if (reader.at !== bytes.length) throw new Error(`has ${bytes.length} bytes, its blocks have ${reader.at}`);
    return decoded;
  }

  #block(block, reader) {
    const { floats } = this.#description;
    const cells = this.#cells(block, reader);
    const corners = floats ? new Float32Array(8 * block.cells) : new Uint8Array(8 * block.cells);
    this.#corners(block, cells, this.#voxelPoints, { inner: 0, count: block.voxel_points }, corners, reader);
    if (this.#innerPoints?.level !== block.level) {
      this.#innerPoints = GroupDecoder.#points(this.#description.innerPoints[block.level], floats);
      this.#innerPoints.level = block.level;
    }
    this.#corners(block, cells, this.#innerPoints, { inner: 1, count: block.inner_points }, corners, reader);
    const colours = floats ? this.#floatColours(block, reader) : this.#colours(block, cells, reader);
    const { level, first_parent: firstParent, first_cell: firstCell } = block;
    return { level, firstParent, firstCell, nodes: cells.nodes, places: cells.places, corners, colours };
  }

  /** Numbers the children of a block's parents, and finds where they are. */
  #cells({ parents, cells, level, first_parent: firstParent, first_cell: firstCell }, reader) {
    const filled = GroupDecoder.#take(reader, parents);
    const inner = GroupDecoder.#take(reader, parents);
    const isReal = firstParent >= 0; // the root's parent is not
    const nodes = new Uint32Array(isReal ? 4 * parents : 0);
    const places = new Uint32Array(2 * cells);
    const parent = new Int32Array(cells);
    const octants = new Uint8Array(cells);
    const isInner = new Uint8Array(cells);
    const [known, parentOf] = [this.#innerPlaces, this.#innerParents];
    let cell = 0;
    for (let index = 0; index < parents; index++) {
      const number = firstParent + index;
      if (isReal) {
        nodes[4 * index] = ((firstCell + cell) | (filled[index] << 24)) >>> 0;
        nodes[4 * index + 1] = (this.#innerCount | (inner[index] << 24)) >>> 0;
        nodes[4 * index + 2] = Math.max(parentOf[number], 0);
      }
      for (let octant = 0; octant < 8; octant++) {
        if (((filled[index] >> octant) & 1) === 0) continue;
        if (cell === cells) throw new Error(`level ${level} has more than the ${cells} cells that it should have`);
        const x = isReal ? 2 * known[3 * number] + (octant >> 2) : 0;
        const y = isReal ? 2 * known[3 * number + 1] + ((octant >> 1) & 1) : 0;
        const z = isReal ? 2 * known[3 * number + 2] + (octant & 1) : 0;
        places[2 * cell] = (x | (y << 16)) >>> 0;
        places[2 * cell + 1] = (z | (level << 16)) >>> 0;
        parent[cell] = number;
        octants[cell] = octant;
        isInner[cell] = (inner[index] >> octant) & 1;
        if (isInner[cell]) {
          known.set([x, y, z], 3 * this.#innerCount);
          parentOf[this.#innerCount++] = number;
        }
        cell++;
      }
    }
    if (cell !== cells) throw new Error(`level ${level} has ${cell} cells, expected ${cells}`);
    return { nodes, places, parent, octants, isInner };
  }

  /**
   * Densities at the corners of voxels (inner: 0) or inner cells (1) of a block. Corners of cells with one
   * parent are among 27 points, each of which is looked up once.
   */
  #corners({ level, cells }, found, points, { inner, count }, corners, reader) {
    const values = this.#newValues(count, reader);
    const shift = this.#description.deepest - level;
    const near = new Int32Array(27);
    let next = 0;
    let parent = null;
    for (let cell = 0; cell < cells; cell++) {
      if (found.isInner[cell] !== inner) continue;
      const octant = found.octants[cell];
      const [low, high] = [found.places[2 * cell], found.places[2 * cell + 1]];
      const x = (low & 65535) - (octant >> 2);
      const y = (low >>> 16) - ((octant >> 1) & 1);
      const z = (high & 65535) - (octant & 1);
      if (parent !== found.parent[cell]) {
        parent = found.parent[cell];
        near.fill(-1);
      }
      for (let corner = 0; corner < 8; corner++) {
        const right = (octant >> 2) + (corner >> 2);
        const down = ((octant >> 1) & 1) + ((corner >> 1) & 1);
        const deep = (octant & 1) + (corner & 1);
        const index = 9 * right + 3 * down + deep;
        if (near[index] < 0) {
          const slot = GroupDecoder.#slot(points, (x + right) << shift, (y + down) << shift, (z + deep) << shift);
          if (points.isNew) points.values[slot] = values[next++];
          near[index] = slot;
        }
        corners[8 * cell + corner] = points.values[near[index]];
      }
    }
    if (next !== count) throw new Error(`level ${level} has ${next} new points, expected ${count}`);
  }

  #newValues(count, reader) {
    if (this.#description.floats) return GroupDecoder.#takeFloats(reader, count);
    const values = GroupDecoder.#take(reader, count).slice();
    for (let index = 1; index < count; index++) values[index] += values[index - 1];
    return values;
  }

  /** Records of `cellColour`: constants of red, green, blue with 16 bits each, then bytes. */
  #colours({ cells }, { parent, isInner }, reader) {
    const record = this.#record;
    const colours = new Uint8Array(cells * record);
    const pairs = new Uint16Array(colours.buffer);
    const before = this.#innerColours;
    const pairsBefore = new Uint16Array(before.buffer);
    const half = record / 2;
    const signed = (low, high) => {
      const z = low | (high << 8);
      return (z >> 1) ^ -(z & 1);
    };
    const planes = [0, 1, 2].map(() => [GroupDecoder.#take(reader, cells), GroupDecoder.#take(reader, cells)]);
    const [[greenLow, greenHigh], [redLow, redHigh], [blueLow, blueHigh]] = planes;
    for (let cell = 0; cell < cells; cell++) {
      const [to, from] = [cell * half, (parent[cell] + 1) * half];
      const green = signed(greenLow[cell], greenHigh[cell]);
      pairs[to] = pairsBefore[from] + green + signed(redLow[cell], redHigh[cell]);
      pairs[to + 1] = pairsBefore[from + 1] + green;
      pairs[to + 2] = pairsBefore[from + 2] + green + signed(blueLow[cell], blueHigh[cell]);
    }
    const harmonics = (this.#description.degree + 1) ** 2;
    for (let number = 1, at = 6; number < harmonics; number++, at += 3) {
      const [green, red, blue] = [0, 1, 2].map(() => GroupDecoder.#take(reader, cells));
      for (let cell = 0; cell < cells; cell++) {
        const [to, from] = [cell * record + at, (parent[cell] + 1) * record + at];
        colours[to] = before[from] + green[cell] + red[cell];
        colours[to + 1] = before[from + 1] + green[cell];
        colours[to + 2] = before[from + 2] + green[cell] + blue[cell];
      }
    }
    let number = this.#innerCount - isInner.reduce((sum, flag) => sum + flag, 0);
    for (let cell = 0; cell < cells; cell++) {
      if (isInner[cell]) before.set(colours.subarray(cell * record, (cell + 1) * record), ++number * record);
    }
    return colours;
  }

  #floatColours({ cells }, reader) {
    const each = this.#record / 4;
    const colours = new Float32Array(cells * each);
    for (let number = 0; number < (this.#description.degree + 1) ** 2; number++) {
      for (const channel of [1, 0, 2]) {
        const plane = GroupDecoder.#takeFloats(reader, cells);
        for (let cell = 0; cell < cells; cell++) colours[cell * each + 3 * number + channel] = plane[cell];
      }
    }
    return colours;
  }

  /** A table of values at lattice points, by open addressing. */
  static #points(count, floats) {
    let slots = 16;
    while (slots < 1.5 * count) slots *= 2;
    return { keys: new Float64Array(slots), values: new (floats ? Float32Array : Uint8Array)(slots), isNew: false };
  }

  /** Where a point is in the table, which says whether it was put there only now. */
  static #slot(points, x, y, z) {
    const { keys } = points;
    const key = (x * 131072 + y) * 131072 + z + 1; // coordinates go up to 2^16: 51 bits, and 0 is an empty slot
    const mask = keys.length - 1;
    let hash = Math.imul(x, 0x9e3779b1) ^ Math.imul(y, 0x85ebca77) ^ Math.imul(z, 0xc2b2ae3d);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (keys[slot] !== key && keys[slot] !== 0) slot = (slot + 1) & mask;
    points.isNew = keys[slot] === 0;
    keys[slot] = key;
    return slot;
  }

  static #take(reader, count) {
    const taken = reader.bytes.subarray(reader.at, reader.at + count);
    if (taken.length !== count) throw new Error(`ends after ${reader.bytes.length} bytes, in the middle of a plane`);
    reader.at += count;
    return taken;
  }

  static #takeFloats(reader, count) {
    return new Float32Array(GroupDecoder.#take(reader, 4 * count).slice().buffer);
  }
}

/** What a worker runs around the class. */
function serve(Decoder) {
  let decoder = null;
  onmessage = async ({ data }) => {
    if (data.description) {
      decoder = new Decoder(data.description);
      postMessage({ isReady: true });
      return;
    }
    try {
      const blocks = await decoder.decode(data.packed, data.blocks);
      const buffers = blocks.flatMap(({ nodes, places, corners, colours }) => [nodes, places, corners, colours]);
      postMessage({ blocks }, buffers.map((array) => array.buffer));
    } catch (error) {
      postMessage({ problem: error.message });
    }
  };
}

/** A promise of { decode, close, isWorker }; decode(packed, blocks) as `GroupDecoder`'s, one call at a time. */
export async function openDecoder(description) {
  const address = URL.createObjectURL(new Blob([`(${serve})(${GroupDecoder});`], { type: "text/javascript" }));
  let worker = null;
  try {
    worker = new Worker(address);
    await answer(worker, { description });
  } catch {
    // A page may forbid workers, or those of its own text.
    worker?.terminate();
    const decoder = new GroupDecoder(description);
    return { decode: (packed, blocks) => decoder.decode(packed, blocks), close() {}, isWorker: false };
  } finally {
    URL.revokeObjectURL(address);
  }
  return {
    decode: async (packed, blocks) => (await answer(worker, { packed, blocks })).blocks,
    close: () => worker.terminate(),
    isWorker: true,
  };
}

function answer(worker, question) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.problem ? reject(new Error(data.problem)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message || "the worker does not start"));
    worker.postMessage(question);
  });
}
