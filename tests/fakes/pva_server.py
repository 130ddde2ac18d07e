"""A PVA server on loopback that posts whatever a test makes up."""

from collections.abc import Mapping
from typing import Any

from p4p import Value
from p4p.nt import NTNDArray, NTScalar
from p4p.server import Server
from p4p.server.thread import SharedPV

NTNDARRAY = NTNDArray.buildType()


class PvaServer:
    """Serves one NTNDArray and integer scalars beside it, on ports found at run time."""

    def __init__(
        self, pv: str, *beside: str, port: int = 0, broadcast: str = "0", image: SharedPV | None = None
    ) -> None:
        self.pv = pv
        self._image = image or SharedPV(initial=Value(NTNDARRAY, {}))
        self._beside = {name: SharedPV(nt=NTScalar("i"), initial=0) for name in beside}
        conf = {
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_SERVER_PORT": str(port),
            "EPICS_PVAS_BROADCAST_PORT": broadcast,
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        }
        self._server = Server(providers=[{pv: self._image, **self._beside}], conf=conf, useenv=False)

    @property
    def client(self) -> tuple[tuple[str, str], ...]:
        """Settings with which a client finds this server and no other."""
        conf = self._server.conf()
        return (
            ("EPICS_PVA_ADDR_LIST", "127.0.0.1"),
            ("EPICS_PVA_AUTO_ADDR_LIST", "NO"),
            ("EPICS_PVA_BROADCAST_PORT", conf["EPICS_PVAS_BROADCAST_PORT"]),
            ("EPICS_PVA_SERVER_PORT", conf["EPICS_PVAS_SERVER_PORT"]),
        )

    def post(self, fields: Mapping[str, Any]) -> None:
        self._image.post(Value(NTNDARRAY, dict(fields)))

    def put(self, name: str, value: int) -> None:
        self._beside[name].post(value)

    def close(self) -> None:
        self._server.stop()
