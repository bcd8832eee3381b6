/**
 * 16-bit gray PNG files to numbers: what a browser decodes itself has eight bits. Not interlaced.
 * https://www.w3.org/TR/png-3/
 */

const SIGNATURE = 8; // bytes
const BYTES = 2; // of a pixel

/** { width, height, counts (Uint16Array), text: { keyword: value } } of a file; throws for other PNGs. */
export async function parseGrayPng(buffer) {
  const view = new DataView(buffer);
  const latin = new TextDecoder("latin1");
  const parts = [];
  const text = {};
  let width, height;
  for (let at = SIGNATURE; at < buffer.byteLength; ) {
    const length = view.getUint32(at);
    const kind = latin.decode(new Uint8Array(buffer, at + 4, 4));
    const start = at + 8;
    if (kind === "IHDR") {
      [width, height] = [view.getUint32(start), view.getUint32(start + 4)];
      const format = [8, 9, 12].map((byte) => view.getUint8(start + byte)).join();
      if (format !== "16,0,0") throw new Error(`the picture is no 16-bit gray PNG: ${format}`);
    } else if (kind === "IDAT") {
      parts.push(new Uint8Array(buffer, start, length));
    } else if (kind === "tEXt") {
      const [keyword, value] = latin.decode(new Uint8Array(buffer, start, length)).split("\0");
      text[keyword] = value;
    }
    at = start + length + 4; // a checksum
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, counts: unfilter(lines, width, height), text };
}

/** The numbers of lines that begin with their filter's type; section 9.2. */
function unfilter(lines, width, height) {
  const stride = BYTES * width;
  const counts = new Uint16Array(width * height);
  let above = new Uint8Array(stride);
  for (let row = 0; row < height; row++) {
    const start = row * (stride + 1);
    const line = lines.subarray(start + 1, start + 1 + stride);
    undo(lines[start], line, above);
    for (let column = 0; column < width; column++) {
      counts[row * width + column] = (line[BYTES * column] << 8) | line[BYTES * column + 1];
    }
    above = line;
  }
  return counts;
}

function undo(filter, line, above) {
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const left = i < BYTES ? 0 : line[i - BYTES];
    if (filter === 1) line[i] += left;
    else if (filter === 2) line[i] += above[i];
    else if (filter === 3) line[i] += (left + above[i]) >> 1;
    else line[i] += paeth(left, above[i], i < BYTES ? 0 : above[i - BYTES]);
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [byLeft, byUp, byCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (byLeft <= byUp && byLeft <= byCorner) return left;
  return byUp <= byCorner ? up : corner;
}
