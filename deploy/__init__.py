"""What takes NeuroCity to other machines: images, compose, chart, proxy, monitoring; no package has it."""
