"""From a scene, a camera and options to encoded pixels, whatever the request came by."""
