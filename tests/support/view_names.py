"""File names that clients of views make, and names that look like them."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBER = st.one_of(
    st.integers(0, 40).map(lambda number: number * 512),
    st.integers(0, 3000),
    st.integers(-(10**20), 10**20),
)
TEXT = st.one_of(
    NUMBER.map(str),
    st.builds("{:x}".format, NUMBER),
    st.builds(lambda number, width: str(number).rjust(width, "0"), NUMBER, st.integers(0, 12)),
)
NAME = st.one_of(
    st.builds("disk-{}-{}.img".format, TEXT, TEXT),
    st.builds("{}-{}.img.zst".format, TEXT, TEXT),
    st.builds("blk{}.bin".format, TEXT),
    st.builds("grp{}.bin".format, TEXT),
    st.builds("{}.chunk".format, TEXT),
    st.builds("disk.ext2.c{}.txt".format, TEXT),
    st.builds("db.{}".format, TEXT),
    st.text(max_size=20),
)


def all_names(view: str, size: int) -> set[str]:
    """Every file name of pieces, as the client's formula makes them."""
    starts = range(0, size, 512)
    names = {
        "v86": [
            f"{base}{start}-{start + 512}.img{ending}"
            for start in starts
            for base in ("", "disk-")
            for ending in ("", ".zst")
        ],
        "tinyemu": ["blk.txt", *(f"blk{index:09d}.bin" for index in range(-(-size // 1024)))],
        "infinite-mac": ["manifest.json", *(f"{index:x}.chunk" for index in range(len(starts)))],
        "webvm": ["disk.ext2.meta", *(f"disk.ext2.c{index:06x}.txt" for index in range(-(-size // 131_072)))],
        "sqlite": ["config.json", *(f"db.{index:03d}" for index in range(len(starts)))],
    }
    return set(names[view])
