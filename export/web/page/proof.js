// Draws views of the scene beside this page into floats, and sends them to where the page came from.
// Behind the modules that it uses, see browser.py.

async function proof() {
  const missing = WebScene.supported() ?? whatFloatsLack();
  if (missing) return send("missing", missing);
  const header = await loadHeader();
  const scene = await openScene(document.createElement("canvas"), header, groupSource(header));
  await scene.loaded;
  await send("begin", "");
  const { isShown, views } = await (await fetch("views.json")).json();
  const background = header.manifest.info.background ?? [0, 0, 0];
  for (const [number, view] of views.entries()) {
    const floats = isShown ? scene.readShown(view, { ...view, background }) : scene.readFloats(view, view);
    await send(`view/${number}`, floats);
  }
  await send("end", navigator.userAgent);
}

function whatFloatsLack() {
  const context = document.createElement("canvas").getContext("webgl2");
  return context.getExtension("EXT_color_buffer_float") ? null : "This browser does not draw into floats.";
}

async function send(what, body) {
  await fetch(what, { method: "POST", body });
}

proof().catch((error) => send("error", String(error)));
