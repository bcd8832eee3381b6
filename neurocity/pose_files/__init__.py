"""JSON files of poses and intrinsics (`transforms.json`) as programs write them: parsed, and as cameras."""
