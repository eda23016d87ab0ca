"""`python -m support.processes.patient_demo OPTIONS`: a demo on a disk that may be slow."""

import sys

from support.processes.ingress import PATIENT_INGRESS

from ops.demo import command, services


def have_patient_replicas() -> None:
    """Have the demo start ingresses that wait for a slow disk, see PATIENT_INGRESS."""
    usual = services.command

    def patient(name: str) -> list[str]:
        return [sys.executable, *PATIENT_INGRESS] if name in services.REPLICAS else usual(name)

    services.command = patient


if __name__ == "__main__":
    have_patient_replicas()
    command.demo(sys.argv[1:])
