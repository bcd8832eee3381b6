"""What the benchmark prints."""

from typing import Any

from benchmarks.load.bench import Bar

MOST_APART = 0.3
"""dB that a band around borders may be behind the inside of blocks."""
MEBIBYTE = 2**20

Figures = dict[str, Any]


def made_table(done: Figures) -> list[str]:
    """How the models were made. done: figures of the steps by name."""
    photographs, plan, exported, whole = (
        done[name] for name in ("photographs", "plan", "export", "undivided")
    )
    sizes = list(exported["blocks"].values())
    mib = [value / MEBIBYTE for value in (sum(sizes), min(sizes), max(sizes))]
    return [
        "| step | seconds | |",
        "|---|---|---|",
        f"| photographs | {photographs['seconds']:.0f} | {photographs['train']} to train on, "
        f"{photographs['val'] + photographs['test']} held out |",
        f"| plan | {plan['seconds']:.0f} | {plan['blocks']} blocks of {plan['block_size']:g} m, "
        f"{min(plan['views'])} to {max(plan['views'])} photographs each |",
        f"| training | {done['train']['seconds']:.0f} | {done['settings']['minutes']:g} minutes each, "
        f"{done['settings']['jobs']} at a time, by {done['settings']['runner']} |",
        f"| export | {exported['seconds']:.0f} | {mib[0]:.1f} MiB of blocks, {mib[1]:.1f} to {mib[2]:.1f} "
        f"each; {exported['coarser'] / MEBIBYTE:.1f} MiB of coarser cuts, coarse model "
        f"{exported['coarse'] / MEBIBYTE:.1f} MiB |",
        f"| undivided model | {whole['seconds']:.0f} | {whole['minutes']:g} minutes, "
        f"{whole['bytes'] / MEBIBYTE:.1f} MiB |",
    ]


def quality_table(judged: Figures) -> list[str]:
    """PSNR of held-out photographs."""
    band = f"{judged['band']:.1f} m of a border"
    rows = [
        f"| {name} | {judged[key]['view']:.2f} | {judged[key]['border']:.2f} | {judged[key]['inside']:.2f} | "
        f"{judged[key]['border'] - judged[key]['inside']:+.2f} |"
        for name, key in (("city in blocks", "city"), ("undivided", "whole"))
    ]
    return [
        f"| {judged['views']} held-out views, PSNR, dB | whole | within {band} | further inside | apart |",
        "|---|---|---|---|---|",
        *rows,
    ]


def flight_table(flights: Figures) -> list[str]:
    """Cold and warm flights by gateway."""
    names = {
        "few": f"memory for some blocks, {flights['memory'] / MEBIBYTE:.1f} MiB",
        "all": "memory for all blocks",
        "whole": "undivided",
    }
    rows = []
    for key, name in names.items():
        for turn in ("cold", "warm"):
            flight = flights[key][turn]
            parts = [
                f"{flight[part]['p50']:.0f} / {flight[part]['p95']:.0f} ({flight[part]['frames']})"
                if flight[part]["frames"]
                else ""
                for part in ("all", "waited", "resident")
            ]
            each = f", {1e3 * flight['load_seconds'] / flight['loads']:.0f} ms" if flight["loads"] else ""
            coarse = f"{flight['coarse']} ({100 * flight['coarse'] / flight['frames']:.0f} %)"
            counts = f"{flight['refused']} | {coarse} | {flight['loads']:.0f}{each}"
            memory = f"{flights[key]['resident_mib']:.1f} | {flights[key]['process_mib']:.0f}"
            rows.append(f"| {name} | {turn} | {' | '.join(parts)} | {counts} | {memory} |")
    return [
        f"| {flights['few']['cold']['frames']} frames over HTTP | flight | p50 / p95, ms (frames) | of those "
        "that waited for blocks | of the others | refused | coarse | loads, each | MiB of blocks | MiB of "
        "the process |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def bars(judged: Figures, flights: Figures) -> list[Bar]:
    """What the district must show."""
    refused = sum(flights[key][turn]["refused"] for key in ("few", "all") for turn in ("cold", "warm"))
    apart = judged["city"]["border"] - judged["city"]["inside"]
    control = judged["whole"]["border"] - judged["whole"]["inside"]
    return [
        Bar("frames refused", "0", str(refused), refused == 0),
        Bar(
            "PSNR at borders against the inside",
            f"-{MOST_APART} dB at most",
            f"{apart:+.2f} dB, undivided {control:+.2f} dB",
            apart >= -MOST_APART,
        ),
    ]
