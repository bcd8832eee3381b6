"""Films from pictures: `film` opens one by its suffix, `ffmpeg` and `png_frames` write their kinds."""
