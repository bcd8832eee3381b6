/** The parts of a page by their ids, which both pages share. */

export function element(id) {
  return document.getElementById(id);
}
