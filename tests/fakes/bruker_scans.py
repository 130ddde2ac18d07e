"""Bruker's files of scans, written by the published layouts and by nothing of the program."""

import io
import struct
import zipfile
from collections.abc import Sequence

RAW_DATA = """<?xml version="1.0" encoding="utf-8"?>
<RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<TimeStampStarted>{started}</TimeStampStarted><TimeStampFinished>{finished}</TimeStampFinished>
<DataRoutes><DataRoute RouteFlag="Measured"><DataViews>
<RawDataView Start="0" Length="2" xsi:type="FixedRawDataView"/>
<RawDataView Start="2" Length="2" xsi:type="VaryingRawDataView"><Varying>
<FieldDefinitions FieldName="TwoTheta" AxisId="TwoTheta"/><FieldDefinitions FieldName="Theta" AxisId="Theta"/>
</Varying></RawDataView>
<RawDataView Start="4" Length="1" xsi:type="RecordedRawDataView"/>
</DataViews>{rows}</DataRoute></DataRoutes></RawData>
"""
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<DataContainer><RawDataReferenceList>{names}</RawDataReferenceList></DataContainer>
"""


def raw1(*, start: float, step: float, counts: Sequence[float]) -> bytes:
    """Version 1: 156 bytes of header, a range."""
    head = struct.pack("<4sIff", b"RAW ", len(counts), 1.0, step)
    head += struct.pack("<IIf3f", 0, 0, start, -1e6, -1e6, -1e6)
    head += b"a pellet".ljust(32) + struct.pack("<ff", 1.5406, 1.5444) + bytes(72) + struct.pack("<I", 0)
    return head + struct.pack(f"<{len(counts)}f", *counts)


def raw2(*, start: float, step: float, counts: Sequence[float], when: str = "", runtime_s: float = 0.0) -> bytes:
    """Version 2: 256 bytes of file header, 48 of range header."""
    head = struct.pack("<4sH", b"RAW2", 1) + bytes(162) + when.encode().ljust(20) + b"CU"
    head += struct.pack("<fff", 1.5406, 1.5444, 0.5) + bytes(8) + struct.pack("<f", runtime_s) + bytes(42)
    one = struct.pack("<HHIfff", 52, len(counts), 0, 1.0, step, start) + bytes(26) + struct.pack("<H", 298) + bytes(4)
    return head + one + struct.pack(f"<{len(counts)}f", *counts)


def raw3(
    *, start: float, step: float, counts: Sequence[float], date: str = "", time: str = "", runtime_s: float = 0.0
) -> bytes:
    """Version 3: 712 bytes of file header, 304 of range header."""
    head = bytearray(712)
    struct.pack_into("<7s", head, 0, b"RAW1.01")
    struct.pack_into("<II", head, 8, 1, 1)
    struct.pack_into("<10s10s", head, 16, date.encode(), time.encode())
    struct.pack_into("<4s", head, 608, b"Cu")
    struct.pack_into("<f", head, 664, runtime_s)
    one = bytearray(304)
    struct.pack_into("<II", one, 0, 304, len(counts))
    struct.pack_into("<dd", one, 8, start / 2, start)
    struct.pack_into("<d", one, 176, step)
    struct.pack_into("<f", one, 192, 1.0)
    struct.pack_into("<I", one, 252, 4)
    return bytes(head) + bytes(one) + struct.pack(f"<{len(counts)}f", *counts)


def raw4(
    *, start: float, step: float, counts: Sequence[float], date: str = "", time: str = "", ranges: int = 1
) -> bytes:
    """Version 4: 61 bytes, segments, ranges of 160 bytes of header."""
    head = bytearray(61)
    struct.pack_into("<8s", head, 0, b"RAW4.00")
    struct.pack_into("<12s10s", head, 12, date.encode(), time.encode())
    comment = struct.pack("<III24s", 10, 36 + 8, 0, b"SAMPLEID") + b"a pellet"
    one = bytearray(160)
    struct.pack_into("<24s", one, 32, b"Locked Coupled")
    struct.pack_into("<ddIf", one, 72, start, step, len(counts), 1.0)
    struct.pack_into("<II", one, 136, 4, 0)
    return bytes(head) + comment + (bytes(one) + struct.pack(f"<{len(counts)}f", *counts)) * ranges


def brml(
    *,
    angles: Sequence[float],
    counts: Sequence[float],
    started: str = "2024-08-11T11:19:45.1234567+02:00",
    finished: str = "2024-08-11T12:19:45+02:00",
    scans: int = 1,
    more: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """A zip with a container and a document for each scan."""
    rows = "".join(
        f"<Datum>1,1,{angle:.6f},{angle / 2:.6f},{count:g}</Datum>" for angle, count in zip(angles, counts, strict=True)
    )
    names = [f"Experiment0/RawData{number}.xml" for number in range(scans)]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        listed = "".join(f"<string>{name}</string>" for name in names)
        file.writestr("Experiment0/DataContainer.xml", CONTAINER.format(names=listed))
        for name in names:
            file.writestr(name, RAW_DATA.format(started=started, finished=finished, rows=rows))
        for name, data in more:
            file.writestr(name, data)
    return content.getvalue()
