"""The live view of a scene: cameras come in, frames go out, over one WebSocket a viewer."""
